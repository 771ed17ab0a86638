#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_info.py PRELOAD: what programs that only look see: ibv_devices, ibv_devinfo, fi_info."""
import re
import sys

import e2e

P4D = ["rdmap144s27", "rdmap160s27", "rdmap16s27", "rdmap32s27"]


def domains(result, suffix):
    return sorted(re.findall(rf"^\s*domain: (\S+)-{suffix}$", result.out, re.M))


def values(result, key):
    return set(re.findall(rf"^\s*{key}: (.*)$", result.out, re.M))


def fi_info(world, tap):
    rdm = ["fi_info", "-p", "efa", "-t", "FI_EP_RDM"]
    result = world.run(rdm)
    good = (result.rc == 0 and values(result, "provider") == {"efa"}
            and len(domains(result, "rdm")) == 1 and values(result, "type") == {"FI_EP_RDM"}
            and values(result, "protocol") == {"FI_PROTO_EFA"})
    tap.check(good, "fi_info: one card, FI_EP_RDM, FI_PROTO_EFA", result)

    result = world.run(rdm, WEFT_INSTANCE="p4d.24xlarge")
    tap.check(result.rc == 0 and domains(result, "rdm") == P4D,
              "fi_info: the four cards of a p4d.24xlarge", result)

    result = world.run(rdm, WEFT_CARDS="32")
    tap.check(result.rc == 0 and len(set(domains(result, "rdm"))) == 32, "fi_info: 32 cards", result)

    result = world.run(["fi_info", "-p", "efa", "-t", "FI_EP_DGRAM"])
    tap.check(result.rc == 0 and len(domains(result, "dgrm")) == 1, "fi_info: FI_EP_DGRAM", result)

    result = world.run(["fi_info"])
    tap.check(result.rc == 0 and "efa" in values(result, "provider")
              and "verbs" not in values(result, "provider"),
              "fi_info: no other provider claims the card", result)

    for part in ("0xefa0", "0xefa1", "0xefa2", "0xefa3"):
        result = world.run(rdm, WEFT_PART_ID=part)
        tap.check(result.rc == 0 and len(domains(result, "rdm")) == 1, f"fi_info: part {part}", result)
    for caps in ("none", "read,rnr", "read,write,rnr,sgid,unsolicited"):
        # Without SGID the card of this age is unusual, not unusable.
        result = world.run(rdm, WEFT_CAPS=caps)
        tap.check(result.rc == 0 and len(domains(result, "rdm")) == 1, f"fi_info: caps {caps}", result)


def ibv(world, tap):
    card = e2e.card_of(world)
    tap.check(card and re.fullmatch(r"rdmap\d+s\d+", card), f"ibv_devices: {card}")

    result = world.run(["ibv_devices"], WEFT_INSTANCE="p4d.24xlarge")
    names = re.findall(r"^\s+(\S+)\s+[0-9a-f]{16}\s*$", result.out, re.M)
    tap.check(result.rc == 0 and sorted(names) == P4D, "ibv_devices: a p4d.24xlarge", result)

    result = world.run(["ibv_devinfo", "-v"])
    said = dict(re.findall(r"^\s*([^:\n]+):\s+(.*?)\s*$", result.out, re.M))
    tap.check(result.rc == 0, "ibv_devinfo -v", result)
    expected = {
        "hca_id": card, "vendor_id": "0x1d0f", "vendor_part_id": "61345", "phys_port_cnt": "1",
        "max_qp": "256", "max_cq": "512", "max_srq": "0", "max_pkeys": "1",
        "atomic_cap": "ATOMIC_NONE (0)", "transport": "unspecified (4)",
        "state": "PORT_ACTIVE (4)", "active_mtu": "4096 (5)", "max_msg_sz": "0x22e0",
        "gid_tbl_len": "1", "pkey_tbl_len": "1", "link_layer": "Unspecified",
    }
    wrong = {k: said.get(k) for k, v in expected.items() if said.get(k) != v}
    tap.check(not wrong, "ibv_devinfo -v: the values of a card", f"wrong: {wrong}", result)
    tap.check(re.search(r"GID\[\s*0\]:\s+fe80:", result.out), "ibv_devinfo -v: a link-local GID", result)

    result = world.run(["ibv_devinfo", "-d", card or "?", "-i", "1"])
    tap.check(result.rc == 0, "ibv_devinfo -d -i 1", result)
    result = world.run(["ibv_devinfo", "-i", "2"])
    tap.check(result.rc != 0 and result.rc < 124, "ibv_devinfo -i 2 is refused", result)


def cost(world, tap):
    """Looking claims no port and leaves nothing behind."""
    result = world.run(["fi_info", "-p", "efa"])
    tap.check(not result.total("tx_pkts"), "looking sends nothing", result)


def main():
    e2e.need("timeout", "fi_info", "ibv_devices", "ibv_devinfo")
    world = e2e.World("udp", sys.argv[1])
    tap = e2e.Tap()
    fi_info(world, tap)
    ibv(world, tap)
    cost(world, tap)
    tap.done()


if __name__ == "__main__":
    main()
