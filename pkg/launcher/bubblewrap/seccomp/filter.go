// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data. Arguments are 64 bits, lower half first on the
// machines we know.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// Return values of a filter.
const (
	retKill  = 0x80000000
	retErrno = 0x00050000
	retAllow = 0x7fff0000
)

// program is a filter in the making. Jumps in classic BPF go forward only, and by at
// most 255 instructions, so every rule is a small block that falls through to the
// next.
type program []unix.SockFilter

func (p *program) add(code uint16, k uint32, jt, jf uint8) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(offset uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
func (p *program) ret(value uint32)   { p.add(unix.BPF_RET|unix.BPF_K, value, 0, 0) }
func (p *program) errno(e unix.Errno) { p.ret(retErrno | uint32(e)) }

// skipUnlessEqual goes on if the accumulator is k, else past n instructions.
func (p *program) skipUnlessEqual(k uint32, n uint8) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k, 0, n)
}

// skipIfEqual goes past n instructions if the accumulator is k.
func (p *program) skipIfEqual(k uint32, n uint8) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k, n, 0)
}

// Filter is the program as the kernel, and bwrap --seccomp, take it.
func Filter() ([]byte, error) {
	p, err := build()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 8*len(p))
	for _, i := range p {
		b = binary.NativeEndian.AppendUint16(b, i.Code)
		b = append(b, i.Jt, i.Jf)
		b = binary.NativeEndian.AppendUint32(b, i.K)
	}
	return b, nil
}

func build() (program, error) {
	if newest == 0 {
		return nil, errors.New("no seccomp filter for this architecture")
	}
	var p program
	// Another architecture's calls (32-bit ones of the same machine) have other
	// numbers: nothing here would mean anything.
	p.load(offsetArch)
	p.skipIfEqual(auditArch, 1)
	p.ret(retKill)
	p.load(offsetNumber)
	p.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, newest, 0, 1)
	p.errno(unix.ENOSYS)
	for _, number := range absent {
		p.skipUnlessEqual(number, 1)
		p.errno(unix.ENOSYS)
	}
	for _, number := range denied {
		p.skipUnlessEqual(number, 1)
		p.errno(unix.EPERM)
	}
	for _, r := range rules {
		block := r.block()
		if len(block) > 254 {
			return nil, fmt.Errorf("the rule of call %d has %d instructions", r.number, len(block))
		}
		// A block ends in a return or, having changed the accumulator, loads the
		// number again.
		p.skipUnlessEqual(r.number, uint8(len(block)))
		p = append(p, block...)
	}
	p.ret(retAllow)
	if len(p) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("a filter of %d instructions", len(p))
	}
	return p, nil
}

// rule decides a call by its arguments.
type rule struct {
	number uint32
	block  func() program
}

// argument loads the lower half of an argument. The kernel takes all arguments
// that are decided on here as 32 bits.
func (p *program) argument(n uint32) { p.load(offsetArgs + 8*n) }

// ifAnyBit denies with EPERM if the argument has one of the bits.
func ifAnyBit(arg, bits uint32) func() program {
	return func() program {
		var p program
		p.argument(arg)
		p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, bits, 0, 1)
		p.errno(unix.EPERM)
		p.ret(retAllow)
		return p
	}
}

// ifAnyOf denies with EPERM if the argument is one of the values.
func ifAnyOf(arg uint32, values ...uint32) func() program {
	return func() program {
		var p program
		p.argument(arg)
		for _, v := range values {
			p.skipUnlessEqual(v, 1)
			p.errno(unix.EPERM)
		}
		p.ret(retAllow)
		return p
	}
}

// unlessOneOf denies if the argument is none of the values.
func unlessOneOf(arg uint32, e unix.Errno, values ...uint32) func() program {
	return func() program {
		var p program
		p.argument(arg)
		for _, v := range values {
			p.skipUnlessEqual(v, 1)
			p.ret(retAllow)
		}
		p.errno(e)
		return p
	}
}

// socketRule allows Unix and IP sockets, and of netlink the route family, by which
// libc lists interfaces.
func socketRule() program {
	var p program
	p.argument(0)
	for _, family := range []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6} {
		p.skipUnlessEqual(family, 1)
		p.ret(retAllow)
	}
	p.skipIfEqual(unix.AF_NETLINK, 1)
	p.errno(unix.EAFNOSUPPORT)
	p.argument(2)
	p.skipUnlessEqual(unix.NETLINK_ROUTE, 1)
	p.ret(retAllow)
	p.errno(unix.EAFNOSUPPORT)
	return p
}

const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME

// rules are the calls that depend on their arguments.
var rules = []rule{
	{unix.SYS_CLONE, ifAnyBit(0, namespaces)},
	{unix.SYS_SOCKET, socketRule},
	{unix.SYS_SOCKETPAIR, unlessOneOf(0, unix.EAFNOSUPPORT, unix.AF_UNIX)},
	// TIOCSTI and TIOCLINUX write into a terminal as if typed there.
	{unix.SYS_IOCTL, ifAnyOf(1, unix.TIOCSTI, 0x541c)},
	// PER_LINUX, PER_LINUX32, and each with UNAME26; asking.
	{unix.SYS_PERSONALITY, unlessOneOf(0, unix.EPERM, 0, 8, 0x20000, 0x20008, 0xffffffff)},
	// PR_SET_MM rewrites what /proc says of a process.
	{unix.SYS_PRCTL, ifAnyOf(0, unix.PR_SET_MM)},
}

// absent calls have flags behind a pointer, where no filter sees them. libc does
// without.
var absent = []uint32{unix.SYS_CLONE3}

// denied calls, on every architecture; each has more in its own file.
var denied = append([]uint32{
	// namespaces and mounts
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT,
	unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_STATMOUNT, unix.SYS_LISTMOUNT, unix.SYS_LISTNS,
	unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
	// the kernel and its clock
	unix.SYS_REBOOT, unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP, unix.SYS_NFSSERVCTL, unix.SYS_LOOKUP_DCOOKIE,
	// keys are not in any namespace that we make
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	// much kernel behind one number
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK,
	unix.SYS_LSM_SET_SELF_ATTR,
	// around names and permissions
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
	// other processes' memory and descriptors, and where pages lie
	unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
	unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES, unix.SYS_MBIND, unix.SYS_SET_MEMPOLICY, unix.SYS_SET_MEMPOLICY_HOME_NODE,
}, deniedHere...)
