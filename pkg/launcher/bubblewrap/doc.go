// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bubblewrap launches sandboxes as local processes, for a machine without
// Kubernetes: sandboxd, and with it the guest, inside bubblewrap (bwrap(1)).
//
//	launcher ── bwrap (outside) ── sandboxd (PID 1 inside) ── guest
//	   └ listener ◄─ gateway.sock, bound in ──┘
//
// Laws:
//   - User, mount, pid, net, ipc and uts namespaces are the sandbox's own. Its
//     network has no interface but loopback; the only thing that it shares with the
//     machine is one socket of the gateway, on which TLS and a token are asked for.
//   - The system is the host's /usr, read-only; nothing of /home, /root, /var or /run
//     is there, and of /etc what programs need to start. /workspace, /tmp and
//     /dev/shm are tmpfs of bounded size.
//   - No capability, no new privileges, no set-id programs, a seccomp filter (package
//     seccomp) on everything inside.
//   - Started by root, every sandbox runs as a user of its own, from a range that
//     nobody else has: not even the kernel takes it for root, and limits by user
//     count it alone.
//   - The token comes in by a pipe that sandboxd reads and closes. The guest sees no
//     file of it.
//   - Limits are set by cgroups where this process may make them (Limits says), by
//     rlimits and sandboxd's guard everywhere.
//   - A sandbox dies with the launcher's process, however that ends: bwrap by the
//     kernel's signal at the death of its parent, sandboxd by the end of a pipe that
//     this process alone holds open, since a signal comes to nobody who asks for it
//     when the parent is dead already. Cgroups, and a bwrap that waits for the word of
//     a dead one, are swept by the next launcher of the StateDir.
//
// bwrap comes from the distribution: apt-get install bubblewrap. It needs user
// namespaces; New says so if they are forbidden.
package bubblewrap
