// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package seccomp

import "golang.org/x/sys/unix"

// Sandbox is the filter of everything in a local sandbox.
func Sandbox() Filter {
	p, err := prologue()
	if err != nil {
		return Filter{err: err}
	}
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
	err = p.addRules(rules)
	return Filter{program: p, err: err}
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
