%% SPDX-License-Identifier: Apache-2.0
%% @doc What is wrong with a lab: as terms, and in words for people (pure).
-module(evum_lab_problem).

-export([format/1, within/2]).

%% @doc What was found wrong with the options that an option consists of.
-spec within(Of :: atom(), {ok, term()} | {error, {bad_option, Key :: term(), Value :: term()}}) ->
    [{bad_option, {atom(), Key :: term()}, Value :: term()}].
within(_Of, {ok, _}) -> [];
within(Of, {error, {bad_option, Key, Value}}) -> [{bad_option, {Of, Key}, Value}].

%% @doc A problem as one line of text.
-spec format(evum_lab_spec:problem()) -> unicode:chardata().
format({{link, _} = Link, used_twice}) ->
    [thing(Link), ": the two are joined already"];
format({Thing, Reason}) ->
    [thing(Thing), ": ", reason(Reason)].

thing(lab) -> "the lab";
thing({file, Path}) -> Path;
thing({machine, Name}) -> ["machine ", text(Name)];
thing({interface, Machine, Name}) -> ["interface ", text(Machine), $:, text(Name)];
thing({switch, Name}) -> ["switch ", text(Name)];
thing({link, Link}) when is_tuple(Link), tuple_size(Link) >= 2 ->
    ["link ", link_text(element(1, Link)), " - ", link_text(element(2, Link))];
thing({link, Link}) -> ["link ", text(Link)].

link_text({Machine, Interface}) -> [text(Machine), $:, text(Interface)];
link_text(Switch) -> text(Switch).

reason({bad_option, {Of, Key}, Value}) -> ["bad option ", text(Of), ": ", text(Key), ": ", text(Value)];
reason({bad_option, Key, Value}) -> ["bad option ", text(Key), ": ", text(Value)];
reason({image, {no_image, Name, Hint}}) -> ["no image ", text(Name), " (", Hint, ")"];
reason({image, Reason}) -> ["image: ", text(Reason)];
reason(bad_name) -> "not a name";
reason(duplicate) -> "the name is there twice";
reason(used_twice) -> "an end of two links";
reason({no_machine, Name}) -> ["there is no machine ", text(Name)];
reason({no_switch, Name}) -> ["there is no switch ", text(Name)];
reason({no_switch_port, Key}) -> ["option ", text(Key), " is of a switch's port, and a wire has none"];
reason({bad_address, Address}) -> ["not an address: ", text(Address)];
reason({address_twice, Address, Other}) -> ["address ", Address, " is that of ", thing(Other)];
reason({mac_twice, Mac, Other}) -> ["address ", Mac, " is that of ", thing(Other)];
reason({cycle, Names}) -> ["depends in a circle: ", lists:join(", ", Names)];
reason({loop, Names}) -> ["frames would go round for ever: ", lists:join(", ", Names)];
reason({no_room, Pool}) -> ["no room for all subnets in ", text(Pool)];
reason(no_link) -> "there is no such link";
reason({start, Reason, Console}) -> [start_reason(Reason), [["\n    ", Line] || Line <- Console]];
reason({configure, Reason}) -> ["cannot be set: ", text(Reason)];
reason({unreadable, Posix}) -> ["cannot be read: ", file:format_error(Posix)];
reason({line, Line, Text}) -> ["line ", integer_to_list(Line), ": ", Text];
reason(Reason) -> text(Reason).

text(Term) ->
    case is_printable(Term) of
        true -> Term;
        false -> io_lib:format("~0tp", [Term])
    end.

start_reason({startup, Command, Status, Output}) ->
    ["startup command ", text(Command), status(Status), [["\n  > ", Line] || Line <- lines(Output)]];
start_reason({depends, On}) -> ["depends on ", On, ", which does not run"];
start_reason({memory, Needed, Available}) -> io_lib:format("needs ~b MiB of memory, ~b are left", [Needed, Available]);
start_reason({boot, timeout}) -> "did not boot in time";
start_reason({switch, Name, Reason}) -> [thing({switch, Name}), ": ", start_reason(Reason)];
start_reason({link, Ends, Reason}) -> [thing({link, Ends}), ": ", start_reason(Reason)];
start_reason({interface, M, I, Reason}) -> [thing({interface, M, I}), ": ", start_reason(Reason)];
start_reason({uplink, Reason}) -> ["uplink: ", text(Reason)];
start_reason({forward, {Protocol, Host}, Errno}) ->
    io_lib:format("~s ~ts of the host is not forwarded: ~ts (~s)", [Protocol, end_point(Host), inet:format_error(Errno), Errno]);
start_reason({ended, Reason}) -> ["ended: ", text(Reason)];
start_reason(Reason) -> text(Reason).

status(timeout) -> " took too long";
status(Status) -> [" failed: ", text(Status)].

lines(Output) -> binary:split(printable(Output), <<"\n">>, [global, trim_all]).

%% What a program wrote, cut somewhere.
printable(Output) ->
    case unicode:characters_to_binary(Output) of
        Text when is_binary(Text) -> Text;
        _ -> unicode:characters_to_binary(Output, latin1)
    end.

is_printable(Text) when is_binary(Text) ->
    is_printable(unicode:characters_to_list(Text));
is_printable(Text) ->
    is_list(Text) andalso Text =/= [] andalso io_lib:printable_unicode_list(Text).

end_point({Host, Port}) when is_tuple(Host) -> end_point({inet:ntoa(Host), Port});
end_point({Host, Port}) -> [text(Host), $:, integer_to_list(Port)].
