// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxes is the gateway's side of the sandboxes: it takes the
// connections that sandboxds dial, keeps one for each pod, and runs processes and
// moves files over them.
//
//	sandboxd ──TLS, Hello──► Server.Serve ──► pod (by UID) ──► link (the connection)
//	                                            ▲
//	exec, files, executions ──► Server.Sandbox(podUID).Run/Read/Write…
//
// Laws:
//   - Who a connection is, its token says, and nothing else that sandboxd says: an
//     Authenticator turns the token into a pod UID. A token of one sandbox opens
//     that sandbox alone.
//   - A pod has one live connection. The first Hello binds the pod to the instance
//     secret of that sandboxd; a second one with another secret is refused and
//     reported, be its token as good as it may. The same sandboxd may replace its
//     own connection.
//   - A process is not its connection: Run attaches again after a broken one and
//     goes on where the output stopped. It starts an id at most once. If the
//     sandbox does not come back, or does not know the process, that is ErrLost.
//   - sandboxd is hostile. Whatever it sends is bounded in size and checked against
//     what was asked; what does not fit ends the connection and is reported
//     (ErrMisbehaved). It can harm its own sandbox only.
package sandboxes
