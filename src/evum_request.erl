%% SPDX-License-Identifier: Apache-2.0
%% @doc Requests to a machine's agent, made and awaited in the calling process:
%% {@link evum_vm} only hands on what comes. {@link evum} is the API.
%%
%% No call lasts longer than its time limit and a second, in which a request
%% that is given up is ended in the guest. What the agent may send before the
%% caller has taken it is bounded, so that a flood waits in the guest.
-module(evum_request).

-export([run/3, put/4, get/3, netlink/3, power/3]).
-export([default_timeout/0]).

-export_type([options/0, error/0]).

%% A call's time limit, ms.
-define(TIMEOUT, 30000).
%% How long a request that was given up may take to end, ms.
-define(GRACE, 1000).
%% Output that is collected, bytes: what a command or a file may come to.
-define(LIMIT, (64 bsl 20)).
%% Replies of rtnetlink's: some thousand interfaces or addresses.
-define(NETLINK_LIMIT, (4 bsl 20)).
%% A reader who has that many messages waiting is waited for, and looked at
%% every so many ms.
-define(READER_MESSAGES, 100).
-define(READER_POLL, 10).

%% Less than that of consumed output is not worth telling the agent, bytes.
-define(DUE_MIN, 65536).

-type options() :: #{
    env => #{unicode:chardata() => unicode:chardata()},
    dir => unicode:chardata(),
    input => iodata(),
    timeout => timeout(),
    limit => pos_integer(),
    stream => {pid(), Tag :: term()},
    mode => non_neg_integer()
}.
-type error() ::
    {error,
        timeout
        | no_machine
        | no_agent
        | no_reader
        | full
        | stopped
        | evum_agent:reason()
        | {output_limit, pos_integer()}
        | {bad_option, term(), term()}
        | Posix :: atom()}.

-record(call, {
    vm :: pid(),
    %% monitor of the machine, and the alias that the agent's messages come to
    key :: reference(),
    deadline :: evum_deadline:deadline(),
    %% why it is given up, if it is
    given_up = no :: no | timeout | {output_limit, pos_integer()} | no_reader,
    input = none :: none | ended | binary(),
    sink :: {collect, Left :: integer(), Limit :: pos_integer()} | {stream, pid(), term()},
    output = [] :: [binary()],
    %% consumed, and not yet told
    due = 0 :: non_neg_integer()
}).

%% @doc The time limit of a call that none is given for, ms.
-spec default_timeout() -> pos_integer().
default_timeout() ->
    ?TIMEOUT.

%% @doc Run a command: a string for `/bin/sh -c', or a list of strings.
-spec run(pid(), unicode:chardata() | [unicode:chardata(), ...], options()) ->
    {ok, non_neg_integer() | {signal, pos_integer()}, binary()} | error().
run(Vm, Command, Options) ->
    checked(fun() ->
        Given = check(Options, [env, dir, input, timeout, limit, stream]),
        Run = #{
            argv => argv(Command),
            env => environment(maps:get(env, Given, #{})),
            dir => text(dir, maps:get(dir, Given, <<"/">>)),
            input => is_map_key(input, Given)
        },
        case call(Vm, {run, Run}, Given) of
            {{exit, Status}, Output} -> {ok, Status, Output};
            {{signal, _} = Signal, Output} -> {ok, Signal, Output};
            {{errno, Errno}, _} -> {error, Errno};
            {error, _} = Error -> Error
        end
    end).

%% @doc Make a file, whole or not at all.
-spec put(pid(), unicode:chardata(), iodata(), options()) -> ok | error().
put(Vm, Path, Data, Options) ->
    checked(fun() ->
        Given = check(Options, [mode, timeout]),
        Bytes = bytes(data, Data),
        Mode = maps:get(mode, Given, 8#644),
        Request = {put, text(path, Path), Mode, byte_size(Bytes)},
        only_ok(call(Vm, Request, Given#{input => Bytes}))
    end).

%% @doc Read a file.
-spec get(pid(), unicode:chardata(), options()) -> {ok, binary()} | error().
get(Vm, Path, Options) ->
    checked(fun() ->
        Given = check(Options, [limit, timeout]),
        case call(Vm, {get, text(path, Path)}, Given) of
            {{exit, 0}, Output} -> {ok, Output};
            Other -> only_ok(Other)
        end
    end).

%% @doc Send a message to the guest's kernel by rtnetlink; the kernel's replies.
-spec netlink(pid(), binary(), timeout()) -> {ok, binary()} | error().
netlink(Vm, Message, Timeout) ->
    case call(Vm, {netlink, Message}, #{timeout => Timeout, limit => ?NETLINK_LIMIT}) of
        {{exit, 0}, Replies} -> {ok, Replies};
        Other -> only_ok(Other)
    end.

%% @doc Have process 1 end all in order, and power off or boot again.
-spec power(pid(), off | reboot, timeout()) -> ok | error().
power(Vm, How, Timeout) ->
    only_ok(call(Vm, {power, How}, #{timeout => Timeout})).

only_ok({{exit, 0}, _}) -> ok;
only_ok({{errno, Errno}, _}) -> {error, Errno};
%% the child that did it was killed in the guest
only_ok({{signal, _}, _}) -> {error, eintr};
only_ok({{exit, _}, _}) -> {error, bad_agent};
only_ok({error, _} = Error) -> Error.

%%% Options -------------------------------------------------------------------

checked(Fun) ->
    try
        Fun()
    catch
        throw:{bad_option, _, _} = Bad -> {error, Bad}
    end.

check(Options, Keys) when is_map(Options) ->
    maps:foreach(
        fun(Key, Value) ->
            lists:member(Key, Keys) andalso good(Key, Value) orelse
                throw({bad_option, Key, Value})
        end,
        Options
    ),
    case Options of
        #{input := Input} -> Options#{input := bytes(input, Input)};
        #{} -> Options
    end;
check(Options, _Keys) ->
    throw({bad_option, options, Options}).

good(timeout, infinity) -> true;
good(timeout, Ms) -> is_integer(Ms) andalso Ms >= 0;
good(limit, Bytes) -> is_integer(Bytes) andalso Bytes > 0;
good(mode, Mode) -> is_integer(Mode) andalso Mode >= 0 andalso Mode =< 8#7777;
good(stream, {Pid, _Tag}) -> is_pid(Pid) andalso node(Pid) =:= node();
good(env, Env) -> is_map(Env);
good(dir, _) -> true;
good(input, _) -> true;
good(_, _) -> false.

argv([First | _] = Argv) when not is_integer(First) ->
    [text(command, Arg, Argv) || Arg <- Argv];
argv(Command) ->
    [<<"/bin/sh">>, <<"-c">>, text(command, Command)].

environment(Env) ->
    [
        case {text(env, Name, Env), text(env, Value, Env)} of
            {<<_, _/binary>> = N, V} -> <<N/binary, $=, V/binary>>;
            _ -> throw({bad_option, env, Env})
        end
     || {Name, Value} <- maps:to_list(Env)
    ].

text(Key, Value) ->
    text(Key, Value, Value).

%% As UTF-8, without a NUL.
text(Key, Value, Given) ->
    try unicode:characters_to_binary(Value) of
        Text when is_binary(Text) ->
            case binary:match(Text, <<0>>) of
                nomatch -> Text;
                _ -> throw({bad_option, Key, Given})
            end;
        _ ->
            throw({bad_option, Key, Given})
    catch
        error:badarg -> throw({bad_option, Key, Given})
    end.

bytes(Key, Data) ->
    try
        iolist_to_binary(Data)
    catch
        error:badarg -> throw({bad_option, Key, Data})
    end.

%%% The call ------------------------------------------------------------------

%% The result and the output, or an error. What is too long goes no further.
call(Vm, Request, Options) ->
    case evum_agent:check(Request) of
        ok -> make(Vm, Request, Options);
        {error, _} = Error -> Error
    end.

make(Vm, Request, Options) ->
    Key = monitor(process, Vm, [{alias, explicit_unalias}]),
    try evum_vm:request(Vm, Key, Request) of
        ok -> await(new(Vm, Key, Options));
        {error, _} = Error -> Error
    catch
        exit:{_, {gen_server, call, _}} -> {error, no_machine}
    after
        _ = unalias(Key),
        demonitor(Key, [flush]),
        flush(Key)
    end.

new(Vm, Key, Options) ->
    Limit = maps:get(limit, Options, ?LIMIT),
    #call{
        vm = Vm,
        key = Key,
        deadline = evum_deadline:new(maps:get(timeout, Options, ?TIMEOUT)),
        input = maps:get(input, Options, none),
        sink =
            case Options of
                #{stream := {Pid, Tag}} -> {stream, Pid, Tag};
                #{} -> {collect, Limit, Limit}
            end
    }.

flush(Key) ->
    receive
        {evum_agent, Key, _} -> flush(Key)
    after 0 -> ok
    end.

await(#call{key = Key} = Call) ->
    receive
        {evum_agent, Key, {data, Bytes}} -> await(came(Bytes, Call));
        {evum_agent, Key, {window, Bytes}} -> await(send_input(Bytes, Call));
        {evum_agent, Key, {done, Result}} -> ended(Result, Call);
        {evum_agent, Key, {error, Reason}} -> failed(Reason, Call);
        {'DOWN', Key, process, _, _} -> {error, no_machine}
    after wait(Call) ->
        case evum_deadline:left(Call#call.deadline) of
            0 when Call#call.given_up =:= no -> await(give_up(timeout, Call));
            0 -> abandon(Call);
            _ -> await(consumed(0, Call))
        end
    end.

%% A reader of a stream that does not read is looked at now and then.
wait(#call{due = Due, deadline = Deadline}) when Due >= ?DUE_MIN ->
    min(?READER_POLL, evum_deadline:left(Deadline));
wait(#call{deadline = Deadline}) ->
    evum_deadline:left(Deadline).

ended(Result, #call{given_up = no, output = Output}) ->
    {Result, iolist_to_binary(lists:reverse(Output))};
ended(_Result, #call{given_up = Reason}) ->
    {error, Reason}.

failed(_Reason, #call{given_up = Why}) when Why =/= no -> {error, Why};
failed(Reason, _Call) -> {error, Reason}.

give_up(Why, #call{given_up = no} = Call) ->
    tell(cancel, Call),
    Call#call{given_up = Why, deadline = evum_deadline:new(?GRACE), output = [], due = 0};
give_up(_Why, Call) ->
    Call.

%% It does not end: whoever stopped the machine may let it go on one day.
abandon(#call{given_up = Why} = Call) ->
    tell(abandon, Call),
    {error, Why}.

tell(What, #call{vm = Vm, key = Key}) ->
    evum_vm:tell_request(Vm, Key, What).

send_input(_Bytes, #call{input = Input} = Call) when Input =:= none; Input =:= ended ->
    Call;
send_input(Bytes, #call{input = Input} = Call) when byte_size(Input) =< Bytes ->
    Input =:= <<>> orelse tell({input, Input}, Call),
    tell(eof, Call),
    Call#call{input = ended};
send_input(Bytes, #call{input = Input} = Call) ->
    <<Piece:Bytes/binary, Rest/binary>> = Input,
    tell({input, Piece}, Call),
    Call#call{input = Rest}.

came(_Bytes, #call{given_up = Why} = Call) when Why =/= no ->
    Call;
came(Bytes, #call{sink = {collect, Left, Limit}} = Call) when byte_size(Bytes) > Left ->
    give_up({output_limit, Limit}, Call);
came(Bytes, #call{sink = {collect, Left, Limit}, output = Output} = Call) ->
    Size = byte_size(Bytes),
    consumed(Size, Call#call{sink = {collect, Left - Size, Limit}, output = [Bytes | Output]});
came(Bytes, #call{sink = {stream, Pid, Tag}} = Call) ->
    Pid ! {Tag, Bytes},
    consumed(byte_size(Bytes), Call).

%% The agent may send as much again: told in a few large pieces.
consumed(Bytes, #call{due = Due, sink = Sink} = Call) ->
    Sum = Due + Bytes,
    case Sum < ?DUE_MIN orelse reads(Sink) of
        true when Sum < ?DUE_MIN ->
            Call#call{due = Sum};
        true ->
            tell({window, Sum}, Call),
            Call#call{due = 0};
        false ->
            Call#call{due = Sum};
        gone ->
            give_up(no_reader, Call)
    end.

reads({collect, _, _}) ->
    true;
reads({stream, Pid, _}) ->
    case process_info(Pid, message_queue_len) of
        {message_queue_len, N} -> N < ?READER_MESSAGES;
        undefined -> gone
    end.
