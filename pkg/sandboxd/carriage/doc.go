// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package carriage carries gRPC backwards over one connection: the side that
// dialled serves, the side that accepted calls. The gateway and sandboxd are its
// only two ends.
//
// After TLS and one exchange of Hello and Welcome (see proto/sandbox/v1) the
// connection is plain HTTP/2 with the roles turned round: the accepting side
// wraps it in a grpc.ClientConn whose dialer gives this one connection away once
// (Client), the dialling side in a listener that accepts it once (Serve). HTTP/2
// already multiplexes and has flow control by stream, so nothing lies between
// gRPC and TLS. The other way, a yamux session with gRPC on its streams, was
// measured beside it (BenchmarkCarriage) and left: a second layer of windows and
// headers under HTTP/2's own, one more goroutine to wake for each message, and a
// dependency inside the sandbox. Measured on four busy cores, TLS 1.3 over
// loopback, the better of two runs each, yamux with windows of 4 MiB:
//
//	                  unary call   32 KiB messages one way
//	HTTP/2 directly   81 µs        300 MB/s
//	yamux below it    149 µs       247 MB/s
//
// Laws:
//   - What either end has said before the roles turn is bounded (MaxHello) and
//     timed by the caller.
//   - Neither end ever dials again on its own behind this package's back: a
//     broken connection ends Serve and closes Done.
//   - A silent peer is noticed: both ends ping an idle connection.
package carriage
