// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package remotecommand is the server's side of the protocol that kubectl exec
// speaks: a command's stdin, stdout, stderr, terminal sizes and end, over one
// upgraded connection. It knows nothing of what runs the command.
//
//	WebSocket  v5.channel.k8s.io  binary messages, the first byte is the channel;
//	                              255 and a channel's number half-close that one
//	           v4.channel.k8s.io  the same without half-closing
//	SPDY/3.1   v4.channel.k8s.io  a stream for each channel
//
// The WebSocket side is written here, on gorilla/websocket, which client-go
// uses for its own: k8s.io/cri-streaming, the kubelet's, knows no v5, and copies
// every message twice. The SPDY side is k8s.io/streaming's.
//
// Laws:
//   - What is wrong with a request is said before the upgrade, as a Status.
//   - No output is lost or reordered, and none is buffered beyond what is being
//     written: a client that does not read makes the command wait.
//   - Stdin that the command does not read makes the client wait, while its
//     heartbeats are answered all the same. Once the command wants no more, the
//     rest is thrown away.
//   - The status is the last thing a client gets, and it gets it: the connection
//     is closed after the client has closed it, or has had time to.
package remotecommand
