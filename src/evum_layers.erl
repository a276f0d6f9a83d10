%% SPDX-License-Identifier: Apache-2.0
%% @doc Layers of an image, one over the other, as the one tree that they make: a
%% pure module.
%%
%% A file `.wh.NAME' of a layer says that NAME of those below is not there any
%% more, and `.wh..wh..opq' that nothing is that its folder had (OCI image
%% specification, layer.md). Devices are left out: a machine makes its own.
-module(evum_layers).

-export([merge/1, resolve/2]).

-export_type([item/0]).

%% An entry, and the layer that it is of, from 1 on.
-type item() :: {Layer :: pos_integer(), evum_tar:entry()}.
-type tree() :: gb_trees:tree(binary(), item()).

%% Symbolic links on the way to one file; as Linux has it.
-define(LINKS_MAX, 40).
-define(WHITEOUT, ".wh.").
-define(OPAQUE, <<".wh..wh..opq">>).

%% @doc What is left of layers, the lowest first, sorted by name. Of several
%% names of one file, the first has the content.
-spec merge([[evum_tar:entry()]]) -> {ok, [item()]} | {error, evum_tar:reason()}.
merge(Layers) ->
    Numbered = lists:zip(lists:seq(1, length(Layers)), Layers),
    try
        Tree = lists:foldl(fun layer/2, gb_trees:empty(), Numbered),
        {ok, hard_links(gb_trees:values(Tree), #{}, [])}
    catch
        throw:{unsafe, _} = Reason -> {error, Reason}
    end.

layer({N, Entries}, Below) ->
    Swept = lists:foldl(fun whiteout/2, Below, Entries),
    lists:foldl(fun(Entry, Tree) -> add(N, Entry, Tree) end, Swept, Entries).

whiteout(#{name := Name}, Tree) ->
    {Folder, Base} = split(Name),
    case Base of
        ?OPAQUE -> delete_below(Folder, Tree);
        <<?WHITEOUT, Gone/binary>> when Gone =/= <<>> -> delete(join(Folder, Gone), Tree);
        _ -> Tree
    end.

add(_N, #{name := <<>>}, Tree) ->
    Tree;
add(_N, #{type := device}, Tree) ->
    Tree;
add(N, #{name := Name} = Entry, Tree) ->
    case [P || <<?WHITEOUT, _/binary>> = P <- parts(Name)] of
        [] ->
            in_folders(element(1, split(Name)), Name, Tree),
            put_entry(N, Entry, Tree);
        _ ->
            Tree
    end.

%% What is above an entry is a folder, or not there; a link would lead what is
%% below it to somewhere else.
in_folders(<<>>, _Name, _Tree) ->
    ok;
in_folders(Folder, Name, Tree) ->
    case gb_trees:lookup(Folder, Tree) of
        {value, {_, #{type := Type}}} when Type =/= directory -> throw({unsafe, Name});
        _ -> in_folders(element(1, split(Folder)), Name, Tree)
    end.

put_entry(N, #{type := directory, name := Name} = Entry, Tree) ->
    gb_trees:enter(Name, {N, Entry}, Tree);
put_entry(_N, #{type := hard, name := Name, link := Link}, Tree) ->
    case gb_trees:lookup(Link, Tree) of
        {value, {_, #{type := directory}}} -> throw({unsafe, Name});
        {value, {N, Entry}} -> gb_trees:enter(Name, {N, Entry#{name := Name}}, delete_below(Name, Tree));
        none -> throw({unsafe, Name})
    end;
put_entry(N, #{name := Name} = Entry, Tree) ->
    gb_trees:enter(Name, {N, Entry}, delete_below(Name, Tree)).

delete(Name, Tree) ->
    gb_trees:delete_any(Name, delete_below(Name, Tree)).

delete_below(Folder, Tree) ->
    Prefix = prefix(Folder),
    delete_names(names(gb_trees:next(gb_trees:iterator_from(Prefix, Tree)), Prefix), Tree).

delete_names(Names, Tree) ->
    lists:foldl(fun gb_trees:delete/2, Tree, Names).

names({Name, _, Iterator}, Prefix) ->
    Size = byte_size(Prefix),
    case Name of
        <<Prefix:Size/binary, _/binary>> -> [Name | names(gb_trees:next(Iterator), Prefix)];
        _ -> []
    end;
names(none, _Prefix) ->
    [].

prefix(<<>>) -> <<>>;
prefix(Folder) -> <<Folder/binary, "/">>.

join(Folder, Base) -> <<(prefix(Folder))/binary, Base/binary>>.

split(Name) ->
    case binary:matches(Name, <<"/">>) of
        [] ->
            {<<>>, Name};
        Slashes ->
            {At, 1} = lists:last(Slashes),
            <<Folder:At/binary, "/", Base/binary>> = Name,
            {Folder, Base}
    end.

%% Files of one layer with one place are one file.
hard_links([], _Seen, Acc) ->
    lists:reverse(Acc);
hard_links([{N, #{type := file, offset := Offset, size := Size, name := Name} = Entry} | Rest], Seen, Acc) when
    Size > 0
->
    case Seen of
        #{{N, Offset} := First} ->
            Link = Entry#{type := hard, link := First, size := 0},
            hard_links(Rest, Seen, [{N, Link} | Acc]);
        _ ->
            hard_links(Rest, Seen#{{N, Offset} => Name}, [{N, Entry} | Acc])
    end;
hard_links([Item | Rest], Seen, Acc) ->
    hard_links(Rest, Seen, [Item | Acc]).

%% @doc The file that a path leads to, through symbolic links.
-spec resolve(binary(), [item()]) -> {ok, item()} | error.
resolve(Path, Items) ->
    Tree = gb_trees:from_orddict([{Name, Item} || {_, #{name := Name}} = Item <- Items]),
    walk(parts(Path), [], Tree, ?LINKS_MAX).

-spec walk([binary()], [binary()], tree(), integer()) -> {ok, item()} | error.
walk(_Parts, _Done, _Tree, 0) ->
    error;
walk([], Done, Tree, Links) ->
    case gb_trees:lookup(name(Done), Tree) of
        {value, {_, #{type := hard, link := First}}} -> walk(parts(First), [], Tree, Links - 1);
        {value, {_, #{type := file}} = Item} -> {ok, Item};
        _ -> error
    end;
walk([<<"..">> | Parts], Done, Tree, Links) ->
    walk(Parts, lists:sublist(Done, 2, length(Done)), Tree, Links);
walk([Part | Parts], Done, Tree, Links) ->
    case gb_trees:lookup(name([Part | Done]), Tree) of
        {value, {_, #{type := symlink, link := <<"/", Link/binary>>}}} ->
            walk(parts(Link) ++ Parts, [], Tree, Links - 1);
        {value, {_, #{type := symlink, link := Link}}} ->
            walk(parts(Link) ++ Parts, Done, Tree, Links - 1);
        _ ->
            walk(Parts, [Part | Done], Tree, Links)
    end.

parts(Path) ->
    [P || P <- binary:split(Path, <<"/">>, [global]), P =/= <<>>, P =/= <<".">>].

name(Done) ->
    iolist_to_binary(lists:join($/, lists:reverse(Done))).
