%% SPDX-License-Identifier: Apache-2.0
%% @doc One call of the command `evum' that this node carries out: its words,
%% output and input, through a socket whose other end is `c_src/attach/run.h'.
%%
%% {@link evum_cli} does the work in a process of its own, which waits while the
%% other end does not take its output, and is killed when that end goes.
-module(evum_client).

-export([serve/3, work/2]).

%% Output that is under way, bytes: less than a socket holds, so that nobody
%% waits in a send for an end that is stopped.
-define(OUTPUT_WINDOW, 65536).
%% Input that is under way, bytes, and all of a command's: as much as a machine's
%% command may write (evum_request).
-define(INPUT_WINDOW, 65536).
-define(INPUT_MAX, (64 bsl 20)).

-record(client, {
    socket :: gen_tcp:socket(),
    id :: non_neg_integer(),
    worker :: pid(),
    window = ?OUTPUT_WINDOW :: integer(),
    %% output that waits for the window, and the worker for it
    waiting = none :: none | {gen_server:from(), stdout | stderr, binary()},
    input = [] :: [binary()],
    input_size = 0 :: non_neg_integer(),
    %% who waits for all of the input
    reader = none :: none | gen_server:from(),
    ended = false :: boolean()
}).

%% @doc Carry out the words of a request, in the process that owns the socket.
-spec serve(gen_tcp:socket(), non_neg_integer(), binary()) -> ok.
serve(Socket, Id, Bytes) ->
    case words(Bytes) of
        [Cwd, Last | Words] when Words =/= [] ->
            %% Whatever this process dies of, the worker does not stay.
            process_flag(trap_exit, true),
            Client = self(),
            Args = [Words, io(Client, Cwd, Last)],
            {Worker, _} = spawn_opt(?MODULE, work, Args, [link, monitor]),
            ok = inet:setopts(Socket, [{active, true}]),
            loop(#client{socket = Socket, id = Id, worker = Worker});
        _ ->
            ok
    end.

%% @private
-spec work([string()], evum_cli_io:io()) -> no_return().
work(Words, Io) ->
    exit({status, evum_cli:run(Words, Io)}).

words(Bytes) ->
    [text(Word) || Word <- lists:droplast(binary:split(Bytes, <<0>>, [global]))].

%% A path may be of any bytes.
text(Word) ->
    case unicode:characters_to_list(Word) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Word)
    end.

io(Client, Cwd, Last) ->
    #{
        out => fun(Bytes) -> call(Client, {out, stdout, iolist_to_binary(Bytes)}) end,
        err => fun(Bytes) -> call(Client, {out, stderr, iolist_to_binary(Bytes)}) end,
        input => fun() -> call(Client, input) end,
        cwd => Cwd,
        last => Last =:= "last"
    }.

%% Of the worker, which dies with the client.
call(Client, Request) ->
    Ref = make_ref(),
    Client ! {{self(), Ref}, Request},
    receive
        {Ref, Answer} -> Answer
    end.

loop(#client{socket = Socket, id = Id, worker = Worker} = Client) ->
    receive
        {tcp, Socket, Packet} ->
            packet(evum_port:decode(Packet), Client);
        {tcp_closed, Socket} ->
            kill(Worker);
        {tcp_error, Socket, _} ->
            kill(Worker);
        {From, {out, To, Bytes}} ->
            loop(send(Client#client{waiting = {From, To, Bytes}}));
        {From, input} ->
            ok = evum_port:credit({socket, Socket}, ?INPUT_WINDOW),
            loop(input(Client#client{reader = From}));
        {'DOWN', _, process, Worker, {status, Status}} ->
            evum_port:reply({socket, Socket}, Id, {exit, Status});
        {'DOWN', _, process, Worker, Reason} ->
            Text = unicode:characters_to_binary(io_lib:format("evum: ~tp~n", [Reason])),
            ok = evum_port:event({socket, Socket}, stderr, Text),
            evum_port:reply({socket, Socket}, Id, {exit, 1});
        {'EXIT', Pid, Reason} when is_pid(Pid), Pid =/= Worker ->
            %% The door closes.
            kill(Worker),
            exit(Reason);
        _ ->
            loop(Client)
    end.

kill(Worker) ->
    exit(Worker, kill),
    receive
        {'DOWN', _, process, Worker, _} -> ok
    end.

packet({event, written, Bytes}, #client{window = Window} = Client) when
    is_integer(Bytes), Bytes >= 0
->
    loop(send(Client#client{window = min(?OUTPUT_WINDOW, Window + Bytes)}));
packet({data, Bytes}, #client{input_size = Size} = Client) when Size + byte_size(Bytes) > ?INPUT_MAX ->
    #client{socket = Socket, id = Id, worker = Worker} = Client,
    Text = io_lib:format("evum: more than ~b bytes of input~n", [?INPUT_MAX]),
    ok = evum_port:event({socket, Socket}, stderr, iolist_to_binary(Text)),
    ok = evum_port:reply({socket, Socket}, Id, {exit, 1}),
    kill(Worker);
packet({data, Bytes}, #client{socket = Socket, input = Input, input_size = Size} = Client) ->
    ok = evum_port:credit({socket, Socket}, byte_size(Bytes)),
    loop(Client#client{input = [Bytes | Input], input_size = Size + byte_size(Bytes)});
packet({event, eof, _}, Client) ->
    loop(input(Client#client{ended = true}));
packet(_, Client) ->
    loop(Client).

send(#client{waiting = none} = Client) ->
    Client;
send(#client{waiting = {From, _, <<>>}} = Client) ->
    answer(From, ok),
    Client#client{waiting = none};
send(#client{window = Window} = Client) when Window =< 0 ->
    Client;
send(#client{socket = Socket, waiting = {From, To, Bytes}, window = Window} = Client) ->
    Size = min(Window, byte_size(Bytes)),
    <<Now:Size/binary, Rest/binary>> = Bytes,
    ok =
        case To of
            stdout -> evum_port:data({socket, Socket}, Now);
            stderr -> evum_port:event({socket, Socket}, stderr, Now)
        end,
    send(Client#client{waiting = {From, To, Rest}, window = Window - Size}).

input(#client{reader = From, ended = true, input = Input} = Client) when From =/= none ->
    answer(From, iolist_to_binary(lists:reverse(Input))),
    Client#client{reader = none, input = []};
input(Client) ->
    Client.

answer({Pid, Ref}, Answer) ->
    Pid ! {Ref, Answer},
    ok.
