%% SPDX-License-Identifier: Apache-2.0
%% @doc Reads the folder of a lab of Kathará's or Netkit's, see
%% {@link evum_kathara}.
%%
%% Links in `NAME/' are followed, as long as they lead to somewhere in the lab's
%% folder. Texts that come from Windows get Linux's ends of lines. Empty folders are
%% not copied.
-module(evum_kathara_folder).

-export([read/1]).

%% Bytes of a lab.conf, or of a script.
-define(TEXT_MAX, (1 bsl 20)).
%% Files and folders of a lab, all together.
-define(ENTRIES_MAX, 20000).

%% @doc What is in a folder. Each file that cannot be read is named.
-spec read(file:filename_all()) -> {ok, evum_kathara:folder()} | {error, [evum_lab_spec:problem(), ...]}.
read(Given) ->
    Path = filename:absname(to_binary(Given)),
    try
        {Names, P0} = list(Path),
        {Texts, P1} = texts(Path, Names),
        Folders = [Name || Name <- Names, is_device(Name), filelib:is_dir(filename:join(Path, Name))],
        {Files, P2} = files(Path, Folders),
        case P0 ++ P1 ++ P2 of
            [] ->
                {ok, maps:merge(Texts, #{
                    path => Path,
                    files => Files,
                    ext => lists:member(<<"lab.ext">>, Names),
                    shared => filelib:is_dir(filename:join(Path, <<"shared">>))
                })};
            Problems ->
                {error, Problems}
        end
    catch
        throw:{problem, Problem} -> {error, [Problem]}
    end.

to_binary(Given) ->
    case unicode:characters_to_binary(Given) of
        Text when is_binary(Text) -> Text;
        _ -> throw({problem, {{file, Given}, {unreadable, einval}}})
    end.

list(Path) ->
    case file:list_dir_all(Path) of
        {ok, Names} -> {lists:sort([name(Name) || Name <- Names]), []};
        {error, Posix} -> {[], [unreadable(Path, Posix)]}
    end.

%% One that is no UTF-8 comes as its bytes.
name(Name) when is_binary(Name) -> Name;
name(Name) -> unicode:characters_to_binary(Name).

unreadable(Path, Posix) -> {{file, Path}, {unreadable, Posix}}.

is_device(<<"shared">>) ->
    false;
is_device(<<"_test">>) ->
    false;
is_device(Name) ->
    re:run(Name, "^[A-Za-z0-9][A-Za-z0-9_-]{0,29}$", [{capture, none}, dollar_endonly]) =:= match.

%%% lab.conf, lab.dep and scripts

texts(Path, Names) ->
    lists:foldl(
        fun({Key, Name}, {Texts, Problems}) ->
            case text(filename:join(Path, Name)) of
                {ok, Text} -> {put(Key, Text, Texts), Problems};
                {error, Problem} -> {Texts, [Problem | Problems]}
            end
        end,
        {#{scripts => #{}}, []},
        [{Key, Name} || Name <- Names, Key <- key(Name)]
    ).

put({script, Key}, Text, #{scripts := Scripts} = Texts) -> Texts#{scripts := Scripts#{Key => Text}};
put(Key, Text, Texts) -> Texts#{Key => Text}.

key(<<"lab.conf">>) ->
    [conf];
key(<<"lab.dep">>) ->
    [dep];
key(Name) ->
    case {filename:rootname(Name), filename:extension(Name)} of
        {<<"shared">>, <<".startup">>} -> [{script, {startup, shared}}];
        {<<"shared">>, <<".shutdown">>} -> [{script, {shutdown, shared}}];
        {Device, <<".startup">>} -> [{script, {startup, Device}} || is_device(Device)];
        {Device, <<".shutdown">>} -> [{script, {shutdown, Device}} || is_device(Device)];
        _ -> []
    end.

text(Path) ->
    case file:read_file_info(Path) of
        {ok, Info} when element(3, Info) =:= regular, element(2, Info) =< ?TEXT_MAX ->
            case file:read_file(Path) of
                {ok, Bytes} -> {ok, evum_kathara_conf:text(Bytes)};
                {error, Posix} -> {error, unreadable(Path, Posix)}
            end;
        {ok, Info} when element(3, Info) =:= regular ->
            {error, unreadable(Path, efbig)};
        {ok, _} ->
            {error, unreadable(Path, eisdir)};
        {error, Posix} ->
            {error, unreadable(Path, Posix)}
    end.

%%% What is put over a machine's root

files(Path, Folders) ->
    {Files, #{problems := Problems}} = lists:foldl(
        fun(Folder, {Files, Walk}) ->
            #{found := Found} = Walked = tree(filename:join(Path, Folder), <<"/">>, [], Walk#{found := []}),
            {Files#{Folder => maps:from_list(Found)}, Walked}
        end,
        {#{}, #{top => Path, found => [], problems => [], left => ?ENTRIES_MAX}},
        Folders
    ),
    {Files, lists:reverse(Problems)}.

%% Above are the folders that this one is in, as they really are: a link to one of
%% them has no end.
tree(Path, Inside, Above, Walk) ->
    case real(Path) of
        error ->
            bad(unreadable(Path, eloop), Walk);
        {ok, Real} ->
            tree(Path, Inside, Real, Above, Walk)
    end.

tree(Path, Inside, Real, Above, Walk) ->
    case lists:member(Real, Above) of
        true ->
            bad(unreadable(Path, eloop), Walk);
        false ->
            {Names, Problems} = list(Path),
            lists:foldl(
                fun(Name, Walking) ->
                    entry(filename:join(Path, Name), filename:join(Inside, Name), [Real | Above], Walking)
                end,
                lists:foldl(fun bad/2, Walk, Problems),
                Names -- [<<".DS_Store">>, <<".gitkeep">>]
            )
    end.

bad(Problem, #{problems := Problems} = Walk) ->
    Walk#{problems := [Problem | Problems]}.

entry(_Path, _Inside, _Above, #{left := 0, top := Top}) ->
    throw({problem, {{file, Top}, <<"more than ", (integer_to_binary(?ENTRIES_MAX))/binary, " files">>}});
entry(Path, Inside, Above, #{top := Top, left := Left} = Walk0) ->
    Walk = Walk0#{left := Left - 1},
    case {file:read_link_info(Path), file:read_file_info(Path)} of
        {{ok, Link}, {ok, Info}} ->
            case element(3, Link) =/= symlink orelse is_inside(Top, Path) of
                true -> entry(element(3, Info), Path, Inside, Above, Info, Walk);
                false -> bad({{file, Path}, <<"a link that leads out of the lab">>}, Walk)
            end;
        {_, {error, Posix}} ->
            bad(unreadable(Path, Posix), Walk);
        {{error, Posix}, _} ->
            bad(unreadable(Path, Posix), Walk)
    end.

entry(regular, Path, Inside, _Above, Info, #{found := Found} = Walk) ->
    Walk#{found := [{Inside, content(Path, Info)} | Found]};
entry(directory, Path, Inside, Above, _Info, Walk) ->
    tree(Path, Inside, Above, Walk);
entry(_, Path, _Inside, _Above, _Info, Walk) ->
    bad({{file, Path}, <<"neither a file nor a folder">>}, Walk).

is_inside(Top, Path) ->
    case {real(Top), real(Path)} of
        {{ok, Outer}, {ok, Inner}} -> lists:prefix(filename:split(Outer), filename:split(Inner));
        _ -> false
    end.

%% A path without links and `..', as realpath(3) has it; 40 links are a loop there.
real(Path) ->
    real(filename:split(Path), <<"/">>, 40).

real([], Done, _) ->
    {ok, Done};
real([<<"/">> | Parts], _Done, Left) ->
    real(Parts, <<"/">>, Left);
real([<<".">> | Parts], Done, Left) ->
    real(Parts, Done, Left);
real([<<"..">> | Parts], Done, Left) ->
    real(Parts, filename:dirname(Done), Left);
real([Part | Parts], Done, Left) ->
    Path = filename:join(Done, Part),
    case file:read_link_all(Path) of
        {ok, _} when Left =:= 0 -> error;
        {ok, Target} -> real(filename:split(name(Target)) ++ Parts, Done, Left - 1);
        {error, _} -> real(Parts, Path, Left)
    end.

%% Scripts and programs stay files, of which the mode counts.
content(Path, Info) when element(2, Info) =< ?TEXT_MAX, element(8, Info) band 8#111 =:= 0 ->
    case file:read_file(Path) of
        {ok, Bytes} -> from_windows(Path, Bytes, evum_kathara_conf:text(Bytes));
        {error, _} -> {file, Path}
    end;
content(Path, _Info) ->
    {file, Path}.

from_windows(Path, Bytes, Bytes) ->
    {file, Path};
from_windows(Path, Bytes, Text) ->
    case {binary:match(Bytes, <<0>>), unicode:characters_to_binary(Bytes)} of
        {nomatch, Bytes} -> Text;
        _ -> {file, Path}
    end.
