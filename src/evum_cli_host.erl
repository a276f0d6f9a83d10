%% SPDX-License-Identifier: Apache-2.0
%% @private
%% @doc Commands about this host: `doctor', `kernel', `image'.
-module(evum_cli_host).

-export([do/4]).

-define(FAILED, 1).

%% @doc Carry out a command.
-spec do(string(), [string()], map(), evum_cli_io:io()) -> byte().
do("doctor", [], _, Io) ->
    Findings = evum_doctor:look(),
    _ = evum_cli_io:out(Io, [
        io_lib:format("~-6s ~-12s ~ts~n", [Mark, What, Text])
     || {Mark, What, Text} <- Findings
    ]),
    case lists:keymember(bad, 1, Findings) of
        true -> ?FAILED;
        false -> 0
    end;
do("kernel", [], _, Io) ->
    Found = [{Which, evum_kernel:find(Which)} || Which <- [default, smp]],
    _ = [kernel(Which, Kernel, Io) || {Which, Kernel} <- Found],
    case Found of
        [{default, {ok, _}} | _] -> 0;
        _ -> ?FAILED
    end;
do("image", [], _, Io) ->
    evum_cli_io:out(Io, [
        io_lib:format("~-20ts ~-9w ~-9w ~8ts~n", [N, Type, Origin, megabytes(Image)])
     || #{name := N, type := Type, origin := Origin} = Image <- evum_image:list()
    ]);
do("image", [Name], #{verify := true}, Io) ->
    case evum_image:verify(image(Name)) of
        ok -> evum_cli_io:out(Io, [Name, ": as it was made\n"]);
        {error, Reason} -> evum_cli_io:failed(Io, "image ~ts: ~tp", [Name, Reason])
    end;
do("image", [Name], _, Io) ->
    case evum_image:info(image(Name)) of
        {ok, Image} -> evum_cli_io:out(Io, about(Image));
        {error, Reason} -> evum_cli_io:failed(Io, "image ~ts: ~tp", [Name, Reason])
    end.

kernel(Which, {ok, #{path := Path, version := Version, flavour := Flavour} = Kernel}, Io) ->
    evum_cli_io:out(Io, [
        io_lib:format("~-8s Linux ~ts (~s), ~ts~n", [Which, Version, Flavour, Path]),
        io_lib:format("~-8s interfaces by ~ts~n", [
            "", lists:join(", ", [atom_to_list(T) || T <- evum_kernel:transports(Kernel)])
        ])
    ]);
kernel(Which, {error, {no_kernel, _}}, Io) ->
    evum_cli_io:out(Io, io_lib:format("~-8s none~n", [Which]));
kernel(Which, {error, Reason}, Io) ->
    evum_cli_io:failed(Io, "kernel ~s: ~tp", [Which, Reason]).

image("host") -> host;
image("tiny") -> tiny;
image(Name) -> Name.

megabytes(#{bytes := Bytes}) -> io_lib:format("~.1f MB", [Bytes / (1 bsl 20)]);
megabytes(_) -> "-".

about(Image) ->
    Lines = maps:to_list(maps:without([info], Image)) ++ maps:to_list(maps:get(info, Image, #{})),
    [
        case is_binary(Value) of
            true -> io_lib:format("~-16ts ~ts~n", [Key, Value]);
            false -> io_lib:format("~-16ts ~tp~n", [Key, Value])
        end
     || {Key, Value} <- Lines
    ].

