#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
# test_verbs.py: the device through libibverbs and libefa, as a program sees it that knows nothing of weft: pyverbs of
# rdma-core 44, with our library preloaded (by whoever calls this). Both ends of all traffic are in this process.
import ctypes
import errno
import fcntl
import mmap
import os
import socket
import subprocess
import sys
import time
import unittest

try:
    import pyverbs.enums as e
    import pyverbs.providers.efa.efadv as efa
    import pyverbs.providers.efa.efa_enums as efa_e
    from pyverbs.addr import AHAttr, GID, GlobalRoute
    from pyverbs.cq import CQ, CQEX, CompChannel, CqInitAttrEx, PollCqAttr
    from pyverbs.device import Context, get_device_list
    from pyverbs.mr import MR
    from pyverbs.pd import PD
    from pyverbs.pyverbs_error import PyverbsRDMAError
    from pyverbs.qp import QP, QPAttr, QPCap, QPEx, QPInitAttr, QPInitAttrEx
    from pyverbs.wr import RecvWR, SGE, SendWR
except ImportError as err:
    print(f'needs python3-pyverbs: {err}')
    sys.exit(77)

QKEY = 0x1234
PATIENCE_S = 20

RESET, INIT, RTR, RTS = e.IBV_QPS_RESET, e.IBV_QPS_INIT, e.IBV_QPS_RTR, e.IBV_QPS_RTS
SQD, SQE, ERR, UNKNOWN = e.IBV_QPS_SQD, e.IBV_QPS_SQE, e.IBV_QPS_ERR, e.IBV_QPS_UNKNOWN
STATES = [RESET, INIT, RTR, RTS, SQD, ERR]

SEND_OPS = e.IBV_QP_EX_WITH_SEND | e.IBV_QP_EX_WITH_SEND_WITH_IMM
RDMA_OPS = (e.IBV_QP_EX_WITH_RDMA_READ | e.IBV_QP_EX_WITH_RDMA_WRITE |
            e.IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM)

# What has to be set for a transition besides the state.
NEEDED = {
    (RESET, INIT): e.IBV_QP_PKEY_INDEX | e.IBV_QP_PORT | e.IBV_QP_QKEY,
    (RTR, RTS): e.IBV_QP_SQ_PSN,
}
LEGAL = {(RESET, INIT), (INIT, INIT), (INIT, RTR), (RTR, RTS), (RTS, RTS), (RTS, SQD), (SQD, RTS), (SQD, SQD)}
LEGAL |= {(state, RESET) for state in STATES}
LEGAL |= {(state, ERR) for state in STATES if state != RESET}
# How to get to a state from RESET.
WAY = {RESET: [], INIT: [INIT], RTR: [INIT, RTR], RTS: [INIT, RTR, RTS], SQD: [INIT, RTR, RTS, SQD], ERR: [INIT, ERR]}


def caps(send_wr=32, recv_wr=32, send_sge=1, recv_sge=1, inline=0):
    return QPCap(max_send_wr=send_wr, max_recv_wr=recv_wr, max_send_sge=send_sge, max_recv_sge=recv_sge,
                 max_inline_data=inline)


def move(qp, to, mask=None, **attrs):
    """One transition with what it needs, or with another mask of attributes."""
    attr = QPAttr(port_num=1)
    attr.qp_state = to
    attr.qkey = QKEY
    attr.sq_psn = 77
    for name, value in attrs.items():
        setattr(attr, name, value)
    if mask is None:
        mask = NEEDED.get((qp_state(qp), to), 0)
    qp.modify(attr, e.IBV_QP_STATE | mask)


def qp_state(qp):
    attr, _ = qp.query(e.IBV_QP_STATE)
    return attr.qp_state


class Side:
    """A protection domain, a queue and a QP that is ready to send."""

    def __init__(self, ctx, cap=None, ud=False, extended=True, cq=None, ready=True, ops=SEND_OPS | RDMA_OPS):
        self.ctx = ctx
        self.own_ah = None
        self.pd = PD(ctx)
        self.cq = cq or CQ(ctx, 128, None, None, 0)
        init = QPInitAttrEx(cap=cap or caps(), qp_type=e.IBV_QPT_UD if ud else e.IBV_QPT_DRIVER, scq=self.cq,
                            rcq=self.cq, pd=self.pd, send_ops_flags=SEND_OPS if ud else ops,
                            comp_mask=e.IBV_QP_INIT_ATTR_PD |
                            (e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS if extended else 0))
        if ud:
            self.qp = QPEx(ctx, init) if extended else QP(ctx, init)
        else:
            self.qp = efa.SRDQPEx(ctx, init, efa.EfaQPInitAttr())
        self.init = init
        if ready:
            for state in WAY[RTS]:
                move(self.qp, state)
        self.mr = MR(self.pd, 65536, e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_READ | e.IBV_ACCESS_REMOTE_WRITE)

    def sge(self, length, offset=0):
        return SGE(self.mr.buf + offset, length, self.mr.lkey)

    def ah(self):
        """The way to our own address. Kept: without it what is on its way there is flushed."""
        if not self.own_ah:
            route = GlobalRoute(dgid=self.ctx.query_gid(1, 0), sgid_index=0)
            self.own_ah = efa.EfaAH(self.pd, attr=AHAttr(port_num=1, is_global=1, gr=route))
        return self.own_ah

    def recv(self, length=64, wr_id=0, offset=0, sge=None):
        sge = [self.sge(length, offset)] if sge is None else sge
        self.qp.post_recv(RecvWR(wr_id=wr_id, num_sge=len(sge), sg=sge))

    def send_classic(self, to, ah, sge, wr_id=0, flags=e.IBV_SEND_SIGNALED, imm=None):
        wr = SendWR(wr_id=wr_id, num_sge=len(sge), sg=sge, send_flags=flags, imm_data=imm or 0,
                    opcode=e.IBV_WR_SEND if imm is None else e.IBV_WR_SEND_WITH_IMM)
        wr.set_wr_ud(ah, to.qp.qp_num, QKEY)
        self.qp.post_send(wr)

    def build(self, to, ah, sge, wr_id=0, imm=None, flags=e.IBV_SEND_SIGNALED, qkey=QKEY):
        """One request of an open batch."""
        self.qp.wr_id = wr_id
        self.qp.wr_flags = flags
        if imm is None:
            self.qp.wr_send()
        else:
            self.qp.wr_send_imm(imm)
        self.qp.wr_set_ud_addr(ah, to.qp.qp_num, qkey)
        if sge is not None:
            self.qp.wr_set_sge_list(len(sge), sge)

    def send(self, to, ah, length=16, wr_id=0, imm=None, qkey=QKEY):
        self.qp.wr_start()
        self.build(to, ah, [self.sge(length)], wr_id, imm, qkey=qkey)
        self.qp.wr_complete()

    def wait(self, n=1, also=()):
        """The next n completions. `also`: queues to poll so that their owners work."""
        got = []
        end = time.monotonic() + PATIENCE_S
        while len(got) < n:
            count, wcs = self.cq.poll(n - len(got))
            got += wcs[:count]
            for cq in also:
                cq.poll(0)
            if time.monotonic() > end:
                raise AssertionError(f'{len(got)} of {n} completions')
        return got


class Verbs(unittest.TestCase):
    def setUp(self):
        names = [d.name.decode() for d in get_device_list()]
        self.assertTrue(names, 'no device: is the library preloaded?')
        self.ctx = Context(name=names[0])

    def tearDown(self):
        self.ctx.close()

    def refused(self, code, fn, *args, **kwargs):
        with self.assertRaises(PyverbsRDMAError) as ex:
            fn(*args, **kwargs)
        self.assertEqual(ex.exception.error_code, code, f'{ex.exception}')

    def cq_ex(self, wc_flags=efa_e.EFADV_WC_EX_WITH_SGID):
        return efa.EfaCQ(self.ctx, CqInitAttrEx(cqe=128, wc_flags=e.IBV_WC_STANDARD_FLAGS),
                         efa.EfaDVCQInitAttr(wc_flags))


class Device(Verbs):
    def test_attributes(self):
        attr = self.ctx.query_device()
        self.assertEqual(attr.vendor_id, 0x1d0f)
        self.assertEqual((attr.phys_port_cnt, attr.max_pkeys, attr.max_srq, attr.max_sge_rd), (1, 1, 0, 1))
        ex = self.ctx.query_device_ex()
        self.assertEqual(ex.orig_attr.vendor_part_id, attr.vendor_part_id)
        with efa.EfaContext(name=self.ctx.name) as ctx:
            own = ctx.query_efa_device()
            self.assertEqual(own.inline_buf_size, 32)
            self.assertEqual((own.max_sq_sge, own.max_rq_sge), (2, 3))
            self.assertTrue(own.device_caps & efa_e.EFADV_DEVICE_ATTR_CAPS_CQ_WITH_SGID)

    def test_port(self):
        port = self.ctx.query_port(1)
        self.assertEqual(port.state, e.IBV_PORT_ACTIVE)
        self.assertEqual((port.gid_tbl_len, port.pkey_tbl_len, port.lid, port.link_layer), (1, 1, 0, 0))
        self.assertEqual(self.ctx.query_pkey(1, 0), 0xffff)
        for port_num in (0, 2, 255):
            self.refused(errno.EINVAL, self.ctx.query_port, port_num)
            self.refused(-1, self.ctx.query_gid, port_num, 0)
        self.refused(-1, self.ctx.query_gid, 1, 1)

    def test_gid_table(self):
        gid = self.ctx.query_gid(1, 0).gid
        self.assertNotEqual(gid, '0000:0000:0000:0000:0000:0000:0000:0000')
        self.assertEqual(self.ctx.query_gid_ex(1, 0).gid_str(), gid)
        table = self.ctx.query_gid_table(4)
        self.assertEqual([entry.gid_str() for entry in table], [gid])
        self.refused(-errno.EINVAL, self.ctx.query_gid_table, 0)

    def test_two_contexts(self):
        with Context(name=self.ctx.name) as other:
            self.assertEqual(other.query_gid(1, 0).gid, self.ctx.query_gid(1, 0).gid)
            with PD(other):
                pass


class Regions(Verbs):
    def setUp(self):
        super().setUp()
        self.pd = PD(self.ctx)

    def test_access(self):
        local, write, read = e.IBV_ACCESS_LOCAL_WRITE, e.IBV_ACCESS_REMOTE_WRITE, e.IBV_ACCESS_REMOTE_READ
        for access in (0, local, read, local | read, local | write, local | write | read,
                       local | e.IBV_ACCESS_RELAXED_ORDERING):
            with MR(self.pd, 4096, access):
                pass
        self.refused(errno.EINVAL, MR, self.pd, 4096, write)
        for access in (e.IBV_ACCESS_REMOTE_ATOMIC, e.IBV_ACCESS_MW_BIND, e.IBV_ACCESS_ZERO_BASED,
                       e.IBV_ACCESS_ON_DEMAND):
            self.refused(errno.EOPNOTSUPP, MR, self.pd, 4096, local | access)

    def test_keys(self):
        mrs = [MR(self.pd, 4096, e.IBV_ACCESS_LOCAL_WRITE) for _ in range(64)]
        keys = [mr.lkey for mr in mrs] + [mr.rkey for mr in mrs]
        self.assertEqual(len(set(keys)), len(keys))
        self.assertLess(max(keys), 1 << 24)
        old = {mr.lkey for mr in mrs}
        for mr in mrs:
            mr.close()
        fresh = MR(self.pd, 4096, e.IBV_ACCESS_LOCAL_WRITE)
        self.assertNotIn(fresh.lkey, old)

    def test_overlapping(self):
        first = MR(self.pd, 8192, e.IBV_ACCESS_LOCAL_WRITE)
        second = MR(self.pd, 8192, e.IBV_ACCESS_LOCAL_WRITE, address=first.buf)
        self.assertNotEqual(first.lkey, second.lkey)

    def test_unmapped(self):
        gap = mmap.mmap(-1, 8 * mmap.PAGESIZE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(gap))
        libc = ctypes.CDLL(None, use_errno=True)
        self.assertEqual(libc.munmap(ctypes.c_void_p(address + 4 * mmap.PAGESIZE), mmap.PAGESIZE), 0)
        self.refused(errno.EFAULT, MR, self.pd, 8 * mmap.PAGESIZE, e.IBV_ACCESS_LOCAL_WRITE, address=address)
        with MR(self.pd, 4 * mmap.PAGESIZE, e.IBV_ACCESS_LOCAL_WRITE, address=address):
            pass
        # Fill the hole again before the whole is unmapped: something else could have moved in.
        libc.mmap(ctypes.c_void_p(address + 4 * mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE),
                  mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x10, -1,
                  ctypes.c_long(0))


class Addresses(Verbs):
    def make(self, pd, gid, **attrs):
        route = GlobalRoute(dgid=gid, sgid_index=0)
        return efa.EfaAH(pd, attr=AHAttr(**{'port_num': 1, 'is_global': 1, 'gr': route, **attrs}))

    def test_shared_number(self):
        gid = self.ctx.query_gid(1, 0)
        pd, other = PD(self.ctx), PD(self.ctx)
        first, second = self.make(pd, gid), self.make(pd, gid)
        self.assertEqual(first.query_efa_ah().ahn, second.query_efa_ah().ahn)
        first.close()
        third = self.make(pd, gid)
        self.assertEqual(second.query_efa_ah().ahn, third.query_efa_ah().ahn)
        self.assertLess(self.make(other, gid).query_efa_ah().ahn, 0xffff)

    def test_bad(self):
        gid = self.ctx.query_gid(1, 0)
        pd = PD(self.ctx)
        self.refused(errno.EINVAL, self.make, pd, gid, is_global=0)
        self.refused(errno.EINVAL, self.make, pd, gid, port_num=2)
        self.refused(errno.EINVAL, self.make, pd, GID('0000:0000:0000:0000:0000:0000:0000:0000'))


class Queues(Verbs):
    def test_comp_vector(self):
        vectors = self.ctx.num_comp_vectors
        self.assertGreater(vectors, 1)
        with CQ(self.ctx, 16, None, None, vectors - 1):
            pass
        self.refused(errno.EINVAL, CQ, self.ctx, 16, None, None, vectors)
        self.refused(errno.EINVAL, CQEX, self.ctx, CqInitAttrEx(cqe=16, comp_vector=vectors))

    def test_depth(self):
        limit = self.ctx.query_device().max_cqe
        for depth, got in ((1, 1), (16, 16), (100, 128), (limit, limit)):
            with CQ(self.ctx, depth, None, None, 0) as cq:
                self.assertGreaterEqual(cq.cqe, got)
        for depth in (0, limit + 1):
            self.refused(errno.EINVAL, CQ, self.ctx, depth, None, None, 0)

    def test_extended_flags(self):
        with CQEX(self.ctx, CqInitAttrEx(cqe=16, wc_flags=e.IBV_WC_STANDARD_FLAGS)):
            pass
        with CQEX(self.ctx, CqInitAttrEx(cqe=16, comp_mask=e.IBV_CQ_INIT_ATTR_MASK_FLAGS,
                                         flags=e.IBV_CREATE_CQ_ATTR_SINGLE_THREADED)):
            pass
        for flag in (e.IBV_WC_EX_WITH_COMPLETION_TIMESTAMP, e.IBV_WC_EX_WITH_CVLAN, e.IBV_WC_EX_WITH_FLOW_TAG):
            self.refused(errno.EOPNOTSUPP, CQEX, self.ctx, CqInitAttrEx(cqe=16, wc_flags=flag))
        self.refused(errno.EOPNOTSUPP, CQEX, self.ctx,
                     CqInitAttrEx(cqe=16, comp_mask=e.IBV_CQ_INIT_ATTR_MASK_FLAGS,
                                  flags=e.IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN))

    def test_efa_flags(self):
        self.refused(errno.EOPNOTSUPP, self.cq_ex, 1 << 5)

    def test_events(self):
        channel = CompChannel(self.ctx)
        cq = CQ(self.ctx, 128, None, channel, 0)
        side = Side(self.ctx, cq=cq)
        ah = side.ah()
        self.refused(errno.EOPNOTSUPP, cq.req_notify, True)
        cq.req_notify()
        side.recv()
        side.send(side, ah)
        channel.get_cq_event(cq)
        cq.ack_events(1)
        self.assertEqual(len(side.wait(2)), 2)


class Pairs(Verbs):
    """Making queue pairs, and their states."""

    def test_life(self):
        for ud in (False, True):
            side = Side(self.ctx, ud=ud, ready=False)
            qp = side.qp
            self.assertEqual(qp.qp_state, RESET)
            for state in (INIT, INIT, RTR, RTS, RTS, SQD, SQD, RTS, ERR, ERR, RESET, INIT, RTR, RTS, RESET):
                move(qp, state)
                self.assertEqual(qp_state(qp), state)

    def test_attributes(self):
        side = Side(self.ctx)
        attr, init = side.qp.query(e.IBV_QP_STATE | e.IBV_QP_QKEY | e.IBV_QP_SQ_PSN | e.IBV_QP_CAP | e.IBV_QP_PORT)
        self.assertEqual((attr.qkey, attr.sq_psn, attr.port_num, attr.pkey_index), (QKEY, 77, 1, 0))
        self.assertEqual(init.qp_type, e.IBV_QPT_DRIVER)
        self.assertEqual(attr.cap.max_send_wr, 32)
        self.refused(errno.EOPNOTSUPP, side.qp.query, e.IBV_QP_PATH_MTU)

    def test_transitions(self):
        for ud in (False, True):
            side = Side(self.ctx, ud=ud, ready=False)
            for start in STATES:
                for to in STATES + [SQE, UNKNOWN]:
                    move(side.qp, RESET)
                    for state in WAY[start]:
                        move(side.qp, state)
                    with self.subTest(ud=ud, start=start, to=to):
                        if (start, to) in LEGAL:
                            move(side.qp, to)
                            self.assertEqual(qp_state(side.qp), to)
                        else:
                            self.refused(errno.EINVAL, move, side.qp, to)
                            self.assertEqual(qp_state(side.qp), start)

    def test_masks(self):
        side = Side(self.ctx, ready=False)
        qp = side.qp
        full = NEEDED[(RESET, INIT)]
        for bit in (e.IBV_QP_PKEY_INDEX, e.IBV_QP_PORT, e.IBV_QP_QKEY):
            self.refused(errno.EINVAL, move, qp, INIT, full & ~bit)
        self.refused(errno.EINVAL, move, qp, INIT, full | e.IBV_QP_SQ_PSN)
        self.refused(errno.EINVAL, move, qp, INIT, full, port_num=2)
        self.refused(errno.EINVAL, move, qp, INIT, full, pkey_index=1)
        for bit in (e.IBV_QP_AV, e.IBV_QP_PATH_MTU, e.IBV_QP_RQ_PSN, e.IBV_QP_ACCESS_FLAGS, e.IBV_QP_DEST_QPN):
            self.refused(errno.EOPNOTSUPP, move, qp, INIT, full | bit)
        move(qp, INIT)
        self.refused(errno.EINVAL, move, qp, RTR, e.IBV_QP_PORT)
        move(qp, RTR)
        self.refused(errno.EINVAL, move, qp, RTS, 0)
        psn = e.IBV_QP_SQ_PSN
        self.refused(errno.EINVAL, move, qp, RTS, psn | e.IBV_QP_CUR_STATE, cur_qp_state=RTS)
        self.refused(errno.EINVAL, move, qp, RTS, psn | e.IBV_QP_RNR_RETRY, rnr_retry=8)
        move(qp, RTS, psn | e.IBV_QP_CUR_STATE | e.IBV_QP_RNR_RETRY, cur_qp_state=RTR, rnr_retry=3)
        self.assertEqual(qp.query(e.IBV_QP_RNR_RETRY)[0].rnr_retry, 3)
        self.refused(errno.EINVAL, move, qp, RTS, e.IBV_QP_RNR_RETRY, rnr_retry=3)
        self.assertEqual(qp_state(qp), RTS)

    def test_rnr_retry_ud(self):
        side = Side(self.ctx, ud=True, ready=False)
        qp = side.qp
        move(qp, INIT)
        move(qp, RTR)
        self.refused(errno.EINVAL, move, qp, RTS, e.IBV_QP_SQ_PSN | e.IBV_QP_RNR_RETRY, rnr_retry=3)

    def test_caps(self):
        side = Side(self.ctx, cap=caps(send_wr=33, recv_wr=20, recv_sge=3, send_sge=2, inline=32))
        cap = side.qp.query(e.IBV_QP_CAP)[0].cap
        self.assertEqual((cap.max_send_wr, cap.max_recv_wr), (64, 21))
        self.assertEqual((cap.max_send_sge, cap.max_recv_sge, cap.max_inline_data), (2, 3, 32))
        self.assertEqual(side.init.max_send_wr, 64)
        Side(self.ctx, cap=caps(recv_wr=0, recv_sge=0))
        for cap in (caps(send_wr=4097), caps(recv_wr=32769), caps(recv_wr=16384, recv_sge=3), caps(send_sge=3),
                    caps(recv_sge=4), caps(inline=33)):
            self.refused(errno.EINVAL, Side, self.ctx, cap=cap)

    def test_kinds(self):
        pd, cq = PD(self.ctx), CQ(self.ctx, 16, None, None, 0)
        for kind in (e.IBV_QPT_RC, e.IBV_QPT_UC, e.IBV_QPT_RAW_PACKET, e.IBV_QPT_DRIVER):
            self.refused(errno.EOPNOTSUPP, QP, pd, QPInitAttr(qp_type=kind, scq=cq, rcq=cq, cap=caps()))
        with QP(pd, QPInitAttr(qp_type=e.IBV_QPT_UD, scq=cq, rcq=cq, cap=caps())) as qp:
            self.assertEqual(qp.qp_type, e.IBV_QPT_UD)
        with efa.SRDQP(pd, QPInitAttr(qp_type=e.IBV_QPT_DRIVER, scq=cq, rcq=cq, cap=caps())) as qp:
            self.assertEqual(qp.qp_state, RESET)
        for ops in (e.IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD, e.IBV_QP_EX_WITH_SEND_WITH_INV, e.IBV_QP_EX_WITH_BIND_MW):
            self.refused(errno.EOPNOTSUPP, Side, self.ctx, ops=SEND_OPS | ops)

    def test_numbers(self):
        sides = [Side(self.ctx) for _ in range(16)]
        limit = self.ctx.query_device().max_qp
        self.assertEqual(len({side.qp.qp_num & (limit - 1) for side in sides}), 16)


class Posting(Verbs):
    def test_states_to_send(self):
        for state, ok in ((RESET, False), (INIT, False), (RTR, False), (RTS, True), (SQD, True), (ERR, False)):
            side = Side(self.ctx, ready=False)
            ah = side.ah()
            for step in WAY[state]:
                move(side.qp, step)
            with self.subTest(state=state):
                if ok:
                    side.send(side, ah)
                else:
                    self.refused(errno.EINVAL, side.send, side, ah)
                    self.refused(errno.EINVAL, side.send_classic, side, ah, [side.sge(8)])

    def test_states_to_receive(self):
        for state, ok in ((RESET, False), (INIT, True), (RTR, True), (RTS, True), (ERR, False)):
            side = Side(self.ctx, ready=False)
            for step in WAY[state]:
                move(side.qp, step)
            with self.subTest(state=state):
                if ok:
                    side.recv()
                else:
                    self.refused(errno.EINVAL, side.recv)

    def test_sq_full(self):
        side = Side(self.ctx)
        ah = side.ah()
        for i in range(32):
            side.send(side, ah, wr_id=i)
        self.refused(errno.ENOMEM, side.send, side, ah)
        self.refused(errno.ENOMEM, side.send_classic, side, ah, [side.sge(8)])
        # A place is free when its completion was polled, and not when it was sent.
        side.recv(wr_id=1000)
        side.wait(2)
        side.send(side, ah)
        self.refused(errno.ENOMEM, side.send, side, ah)

    def test_rq_full(self):
        side = Side(self.ctx)
        ah = side.ah()
        for _ in range(32):
            side.recv()
        self.refused(errno.ENOMEM, side.recv)
        side.send(side, ah)
        side.wait(2)
        side.recv()
        self.refused(errno.ENOMEM, side.recv)

    def test_too_many_sges(self):
        side = Side(self.ctx, cap=caps(send_sge=2, recv_sge=3))
        ah = side.ah()
        sges = [side.sge(8, 64 * i) for i in range(4)]
        self.refused(errno.EINVAL, side.send_classic, side, ah, sges[:3])
        self.refused(errno.EINVAL, side.recv, sge=sges)
        side.qp.wr_start()
        side.build(side, ah, sges[:3])
        self.refused(errno.EINVAL, side.qp.wr_complete)
        side.recv(sge=sges[:3])
        side.send_classic(side, ah, sges[:2])
        recv = next(wc for wc in side.wait(2) if wc.opcode == e.IBV_WC_RECV)
        self.assertEqual(recv.byte_len, 16)

    def test_flags(self):
        side = Side(self.ctx)
        ah = side.ah()
        for flags in (0, e.IBV_SEND_SIGNALED | e.IBV_SEND_SOLICITED, e.IBV_SEND_SIGNALED | e.IBV_SEND_FENCE):
            self.refused(errno.EINVAL, side.send_classic, side, ah, [side.sge(8)], flags=flags)
            side.qp.wr_start()
            side.build(side, ah, [side.sge(8)], flags=flags)
            self.refused(errno.EINVAL, side.qp.wr_complete)

    def test_classic_rdma(self):
        side = Side(self.ctx)
        for opcode in (e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ, e.IBV_WR_ATOMIC_FETCH_AND_ADD):
            wr = SendWR(num_sge=1, sg=[side.sge(8)], opcode=opcode, send_flags=e.IBV_SEND_SIGNALED)
            wr.set_wr_ud(side.ah(), side.qp.qp_num, QKEY)
            self.refused(errno.EINVAL, side.qp.post_send, wr)

    def test_inline(self):
        side = Side(self.ctx, cap=caps(inline=32))
        ah = side.ah()
        inline = e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE
        side.recv(offset=4096)
        side.mr.write('x' * 32, 32)
        side.send_classic(side, ah, [side.sge(32)], flags=inline)
        side.mr.write('y' * 32, 32)
        side.wait(2)
        self.assertEqual(side.mr.read(32, 4096), b'x' * 32)
        self.refused(errno.EINVAL, side.send_classic, side, ah, [side.sge(33)], flags=inline)

    def test_batches(self):
        side = Side(self.ctx)
        ah = side.ah()
        for _ in range(8):
            side.recv()
        side.qp.wr_start()
        for i in range(4):
            side.build(side, ah, [side.sge(8)], wr_id=i)
        side.qp.wr_complete()
        self.assertEqual(sorted(wc.wr_id for wc in side.wait(8) if wc.opcode == e.IBV_WC_SEND), [0, 1, 2, 3])
        # Neither an aborted batch nor one with a mistake in it sends anything.
        side.qp.wr_start()
        side.build(side, ah, [side.sge(8)])
        side.qp.wr_abort()
        side.qp.wr_start()
        side.build(side, ah, [side.sge(8)])
        side.build(side, ah, [side.sge(8), side.sge(8)])
        side.build(side, ah, [side.sge(8)])
        self.refused(errno.EINVAL, side.qp.wr_complete)
        side.qp.wr_start()
        side.qp.wr_complete()
        side.send(side, ah, wr_id=99)
        self.assertEqual([wc.wr_id for wc in side.wait(2) if wc.opcode == e.IBV_WC_SEND], [99])
        self.assertEqual(side.cq.poll(1)[0], 0)

    def test_batch_too_long(self):
        side = Side(self.ctx)
        ah = side.ah()
        side.qp.wr_start()
        for i in range(33):
            side.build(side, ah, [side.sge(8)], wr_id=i)
        self.refused(errno.ENOMEM, side.qp.wr_complete)

    def test_classic_list(self):
        side = Side(self.ctx)
        ah = side.ah()
        for _ in range(20):
            side.recv()
        wrs, wr = [], None
        # 20 requests, of which number 17 is wrong: 17 are sent.
        for i in reversed(range(20)):
            wr = SendWR(wr_id=i, num_sge=1, sg=[side.sge(8)], next_wr=wr,
                        send_flags=e.IBV_SEND_SIGNALED if i != 17 else 0)
            wr.set_wr_ud(ah, side.qp.qp_num, QKEY)
            wrs.append(wr)
        self.refused(errno.EINVAL, side.qp.post_send, wr)
        sent = [wc.wr_id for wc in side.wait(34) if wc.opcode == e.IBV_WC_SEND]
        self.assertEqual(sorted(sent), list(range(17)))


class Traffic(Verbs):
    def both(self, **kwargs):
        return Side(self.ctx, **kwargs), Side(self.ctx, **kwargs)

    def test_send(self):
        a, b = self.both()
        b.recv(8928, wr_id=5)
        a.mr.write('a' * 8928, 8928)
        a.send(b, a.ah(), 8928, wr_id=4)
        got = b.wait(also=[a.cq])[0]
        self.assertEqual((got.status, got.opcode, got.wr_id, got.byte_len), (e.IBV_WC_SUCCESS, e.IBV_WC_RECV, 5, 8928))
        self.assertEqual((got.qp_num, got.src_qp), (b.qp.qp_num, a.qp.qp_num))
        self.assertEqual(got.wc_flags & e.IBV_WC_WITH_IMM, 0)
        self.assertEqual(b.mr.read(8928, 0), b'a' * 8928)
        done = a.wait()[0]
        self.assertEqual((done.status, done.opcode, done.wr_id, done.vendor_err), (0, e.IBV_WC_SEND, 4, 0))

    def test_nothing(self):
        a, b = self.both()
        b.recv()
        a.qp.wr_start()
        a.build(b, a.ah(), None, imm=0x01020304)
        a.qp.wr_complete()
        got = b.wait(also=[a.cq])[0]
        self.assertEqual((got.byte_len, socket.ntohl(got.imm_data)), (0, 0x01020304))
        self.assertTrue(got.wc_flags & e.IBV_WC_WITH_IMM)

    def test_ud(self):
        a, b = self.both(ud=True)
        b.recv(64 + 40)
        a.mr.write('u' * 64, 64)
        a.send(b, a.ah(), 64)
        got = b.wait(also=[a.cq])[0]
        self.assertEqual(got.byte_len, 104)
        self.assertEqual(b.mr.read(64, 40), b'u' * 64)

    def test_lengths(self):
        a, b = self.both()
        a.send(b, a.ah(), 8929)
        done = a.wait(also=[b.cq])[0]
        self.assertEqual((done.status, done.vendor_err), (e.IBV_WC_LOC_LEN_ERR, 6))
        b.recv(16)
        a.send(b, a.ah(), 17)
        done = a.wait(also=[b.cq])[0]
        self.assertEqual((done.status, done.vendor_err), (e.IBV_WC_REM_INV_REQ_ERR, 11))
        self.assertEqual(qp_state(a.qp), RTS)

    def test_keys(self):
        a, b = self.both()
        b.recv()
        a.qp.wr_start()
        a.build(b, a.ah(), [SGE(a.mr.buf, 8, a.mr.lkey + 4711)])
        a.qp.wr_complete()
        done = a.wait(also=[b.cq])[0]
        self.assertEqual((done.status, done.vendor_err), (e.IBV_WC_LOC_PROT_ERR, 5))
        a.send(b, a.ah(), qkey=QKEY + 1)
        done = a.wait(also=[b.cq])[0]
        self.assertEqual((done.status, done.vendor_err), (e.IBV_WC_REM_INV_RD_REQ_ERR, 9))

    def test_rdma(self):
        a, b = self.both()
        ah = a.ah()
        a.mr.write('w' * 4096, 4096)

        def rdma(op, rkey, raddr, *imm):
            a.qp.wr_start()
            a.qp.wr_id = 7
            a.qp.wr_flags = e.IBV_SEND_SIGNALED
            op(rkey, raddr, *imm)
            a.qp.wr_set_ud_addr(ah, b.qp.qp_num, QKEY)
            a.qp.wr_set_sge(a.sge(4096))
            a.qp.wr_complete()
            return a.wait(also=[b.cq])[0]

        done = rdma(a.qp.wr_rdma_write, b.mr.rkey, b.mr.buf)
        self.assertEqual((done.status, done.opcode), (0, e.IBV_WC_RDMA_WRITE))
        self.assertEqual(b.mr.read(4096, 0), b'w' * 4096)
        b.recv(wr_id=6)
        done = rdma(a.qp.wr_rdma_write_imm, b.mr.rkey, b.mr.buf, 0x11223344)
        got = b.wait(also=[a.cq])[0]
        self.assertEqual((got.opcode, got.wr_id, got.byte_len), (e.IBV_WC_RECV_RDMA_WITH_IMM, 6, 4096))
        self.assertEqual(socket.ntohl(got.imm_data), 0x11223344)
        b.mr.write('r' * 4096, 4096)
        done = rdma(a.qp.wr_rdma_read, b.mr.rkey, b.mr.buf)
        self.assertEqual((done.status, done.opcode), (0, e.IBV_WC_SEND))
        self.assertEqual(a.mr.read(4096, 0), b'r' * 4096)
        done = rdma(a.qp.wr_rdma_write, b.mr.rkey + 4711, b.mr.buf)
        self.assertEqual((done.status, done.vendor_err), (e.IBV_WC_REM_ACCESS_ERR, 7))
        done = rdma(a.qp.wr_rdma_read, b.mr.rkey, b.mr.buf + 65536 - 8)
        self.assertEqual((done.status, done.vendor_err), (e.IBV_WC_REM_ACCESS_ERR, 7))
        # One piece of memory is the limit for these.
        a.qp.wr_start()
        a.qp.wr_rdma_write(b.mr.rkey, b.mr.buf)
        a.qp.wr_set_ud_addr(ah, b.qp.qp_num, QKEY)
        a.qp.wr_set_sge_list(2, [a.sge(8), a.sge(8)])
        self.refused(errno.EINVAL, a.qp.wr_complete)

    def test_flush(self):
        side = Side(self.ctx)
        ah = side.ah()
        side.recv(wr_id=1)
        side.recv(wr_id=2)
        move(side.qp, ERR)
        got = side.wait(2)
        self.assertEqual({wc.wr_id for wc in got}, {1, 2})
        self.assertEqual({(wc.status, wc.vendor_err) for wc in got}, {(e.IBV_WC_WR_FLUSH_ERR, 1)})
        self.refused(errno.EINVAL, side.send, side, ah)

    def test_reset_forgets(self):
        side = Side(self.ctx)
        for i in range(32):
            side.recv(wr_id=i)
        move(side.qp, RESET)
        move(side.qp, INIT)
        for i in range(32):
            side.recv(wr_id=100 + i)
        self.assertEqual(side.cq.poll(1)[0], 0)

    def test_stale(self):
        """A completion of a destroyed QP is an error of the poll, once; the queue goes on."""
        channel = CompChannel(self.ctx)
        cq = CQ(self.ctx, 128, None, channel, 0)
        gone, peer, live = Side(self.ctx, cq=cq), Side(self.ctx), Side(self.ctx, cq=cq)
        peer.recv()
        cq.req_notify()
        gone.send(peer, gone.ah())
        # An event says that the completion is there without taking it.
        channel.get_cq_event(cq)
        cq.ack_events(1)
        gone.qp.close()
        self.assertRaises(PyverbsRDMAError, cq.poll, 1)
        self.assertEqual(cq.poll(1)[0], 0)
        live.recv()
        live.send(live, live.ah())
        self.assertEqual(len(live.wait(2)), 2)


class Extended(Verbs):
    def step(self, cq, other=None):
        """Begin a session with the next completion."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            ret = cq.start_poll(PollCqAttr())
            if ret == 0:
                return
            self.assertEqual(ret, errno.ENOENT)
            if other:
                other.poll(1)
        self.fail('no completion')

    def test_fields(self):
        a, b = Side(self.ctx), Side(self.ctx, cq=self.cq_ex())
        ah_of_a = b.ah()
        b.recv(wr_id=21)
        b.recv(wr_id=22)
        a.send(b, a.ah(), 24, imm=0x0a0b0c0d)
        self.step(b.cq, a.cq)
        self.assertEqual((b.cq.status, b.cq.wr_id), (0, 21))
        self.assertEqual(b.cq.read_opcode(), e.IBV_WC_RECV)
        self.assertEqual((b.cq.read_byte_len(), socket.ntohl(b.cq.read_imm_data())), (24, 0x0a0b0c0d))
        self.assertEqual((b.cq.read_qp_num(), b.cq.read_src_qp()), (b.qp.qp_num, a.qp.qp_num))
        self.assertEqual((b.cq.read_vendor_err(), b.cq.read_sl(), b.cq.read_dlid_path_bits()), (0, 0, 0))
        self.assertTrue(b.cq.read_wc_flags() & e.IBV_WC_WITH_IMM)
        # The sender is known by number, so its address is not told.
        self.assertEqual(b.cq.read_slid(), ah_of_a.query_efa_ah().ahn)
        self.assertIsNone(b.cq.read_sgid())
        self.assertEqual(b.cq.poll_next(), errno.ENOENT)
        b.cq.end_poll()
        self.assertEqual(b.cq.start_poll(PollCqAttr()), errno.ENOENT)
        b.cq.end_poll()  # As some programs do.
        a.send(b, a.ah())
        self.step(b.cq, a.cq)
        self.assertEqual(b.cq.wr_id, 22)
        b.cq.end_poll()

    def test_unknown_sender(self):
        a, b = Side(self.ctx), Side(self.ctx, cq=self.cq_ex())
        b.recv()
        a.send(b, a.ah())
        self.step(b.cq, a.cq)
        self.assertEqual(b.cq.read_slid(), 0xffff)
        self.assertEqual(b.cq.read_sgid().gid, self.ctx.query_gid(1, 0).gid)
        b.cq.end_poll()

    def test_errors(self):
        side = Side(self.ctx, cq=self.cq_ex())
        side.send(side, side.ah(), 8929, wr_id=3)
        self.step(side.cq)
        self.assertEqual((side.cq.status, side.cq.wr_id), (e.IBV_WC_LOC_LEN_ERR, 3))
        self.assertEqual((side.cq.read_vendor_err(), side.cq.read_opcode()), (6, e.IBV_WC_SEND))
        side.cq.end_poll()
        attr = PollCqAttr()
        attr.comp_mask = 1
        self.assertEqual(side.cq.start_poll(attr), errno.EINVAL)


class Raw(unittest.TestCase):
    """Without pyverbs: where things lie, and what callers with older and newer headers get."""

    def setUp(self):
        self.lib = ctypes.CDLL(None, use_errno=True)
        self.lib.ibv_get_device_list.restype = ctypes.POINTER(ctypes.c_void_p)
        self.lib.ibv_open_device.restype = ctypes.c_void_p
        devices = self.lib.ibv_get_device_list(None)
        self.ctx = ctypes.c_void_p(self.lib.ibv_open_device(ctypes.c_void_p(devices[0])))
        self.lib.ibv_free_device_list(devices)
        self.assertTrue(self.ctx.value)

    def tearDown(self):
        self.assertEqual(self.lib.ibv_close_device(self.ctx), 0)

    def field(self, offset, kind):
        return kind.from_address(self.ctx.value + offset).value

    def test_context(self):
        self.assertEqual(self.field(320, ctypes.c_uint64), 2**64 - 1)
        self.assertEqual(self.field(-8, ctypes.c_uint64), 696)
        self.assertGreater(self.field(272, ctypes.c_int), 1)
        for offset in (96, 104, 208, 216):
            self.assertTrue(self.field(offset, ctypes.c_uint64))

    def test_async_event(self):
        fd = self.field(268, ctypes.c_int)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
        self.assertEqual(self.lib.ibv_get_async_event(self.ctx, ctypes.create_string_buffer(16)), -1)
        self.assertEqual(ctypes.get_errno(), errno.EAGAIN)

    def test_query_port_old(self):
        """Callers of the exported function have a struct that ends with `flags`."""
        buf = ctypes.create_string_buffer(b'\xa5' * 64)
        self.assertEqual(self.lib.ibv_query_port(self.ctx, ctypes.c_uint8(1), buf), 0)
        self.assertEqual(int.from_bytes(buf.raw[:4], 'little'), e.IBV_PORT_ACTIVE)
        self.assertEqual(buf.raw[48:64], b'\xa5' * 16)

    def test_query_device_lengths(self):
        for inlen, err in ((0, errno.EINVAL), (16, errno.EINVAL), (24, 0), (32, 0), (48, 0)):
            buf = ctypes.create_string_buffer(b'\xa5' * 64)
            self.assertEqual(self.lib.efadv_query_device(self.ctx, buf, inlen), err)
            self.assertEqual(buf.raw[inlen:64], b'\xa5' * (64 - inlen))
            if not err:
                self.assertEqual(buf.raw[32:inlen], bytes(max(inlen - 32, 0)))

    def test_depth_lengths(self):
        for fn, known in ((self.lib.efadv_get_max_sq_depth, 24), (self.lib.efadv_get_max_rq_depth, 16)):
            zero = bytes(64)
            self.assertGreaterEqual(fn(self.ctx, zero, known), 4096)
            self.assertGreaterEqual(fn(self.ctx, zero, 64), 4096)
            self.assertEqual(fn(self.ctx, zero, 8), -errno.EINVAL)
            self.assertEqual(fn(self.ctx, b'\1' + zero, known), -errno.EINVAL)  # comp_mask
            # What a newer caller asks for, and we do not know.
            self.assertEqual(fn(self.ctx, zero[:known] + b'\1' + zero, 64), -errno.EINVAL)


PLUGIN = """
import _ctypes, ctypes
ours = ctypes.CDLL(None)
ours.ibv_wc_status_str.restype = ctypes.c_char_p
assert ours.ibv_wc_status_str(0) == b'unknown'
plugin = ctypes.CDLL('libibverbs.so.1', mode=ctypes.RTLD_LOCAL)
assert ours.ibv_wc_status_str(0) == b'success'
_ctypes.dlclose(plugin._handle)
assert ours.ibv_wc_status_str(0) == b'success'
"""


class Plugins(unittest.TestCase):
    def test_library_closed(self):
        """The real library came and went with a plugin; what was found in it is still called."""
        done = subprocess.run([sys.executable, '-c', PLUGIN], stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b''))


if __name__ == '__main__':
    unittest.main(verbosity=2)
