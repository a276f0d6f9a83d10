%% SPDX-License-Identifier: Apache-2.0
%% What the suites of `nat' share, in a network namespace that has nothing but a
%% loopback (evum_apart): addresses of a guest, and such of the host's as the
%% world would have.
-module(evum_uplink_rig).

-export([lease/1, families/1]).
-export([host_addresses/1, address/1]).

%% Take a lease: the address.
lease(R) ->
    [] = evum_test:sh(R, [
        "printf '%s\\n' '#!/bin/sh' '[ \"$1\" = bound ] || exit 0' ",
        "'ifconfig eth0 $ip netmask $subnet' 'route add default gw $router' ",
        "'echo nameserver $dns >/etc/resolv.conf' 'echo lease $ip' ",
        ">/root/lease; chmod +x /root/lease; ifconfig eth0 up"
    ]),
    Lines = evum_test:sh(R, "busybox udhcpc -i eth0 -n -q -t 10 -s /root/lease 2>&1"),
    case [Address || <<"lease ", Address/binary>> <- Lines] of
        [Address] -> Address;
        [] -> error({no_lease, Lines})
    end.

%% Take addresses: of which families.
families(R) ->
    _ = lease(R),
    case evum_test:sh(R, "ls /proc/net/if_inet6") of
        [<<"/proc/net/if_inet6">>] ->
            %% by router advertisement
            _ = evum_test:await(fun() ->
                evum_test:sh(R, "ip -6 route show default dev eth0") =/= [] andalso
                    evum_test:sh(R, "ip -6 addr show dev eth0 -tentative | grep 'fd00:.*global'") =/= []
            end),
            [inet, inet6];
        _ ->
            [inet]
    end.

%% Addresses of the host that are not its loopback's.
address(inet) -> {10, 99, 0, 2};
address(inet6) -> {16#fd99, 0, 0, 0, 0, 0, 0, 2}.

host_addresses(Change) ->
    [
        evum_netns:sh(["ip addr ", atom_to_list(Change), " ", Address, " dev lo"])
     || Address <- ["10.99.0.2/32", "fd99::2/128"]
    ],
    ok.
