// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package carriage

import (
	"encoding/binary"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

const (
	// Protocol is the ALPN protocol, so that the gateway may serve sandboxes and
	// ordinary gRPC clients on one port.
	Protocol = "safebeam-sandbox-v1"

	// MaxHello bounds a Hello and a Welcome. The largest part is a token.
	MaxHello = 16 << 10

	// InstanceBytes is the length of Hello.instance.
	InstanceBytes = 32
)

// WriteMessage writes m preceded by its length.
func WriteMessage(w io.Writer, m proto.Message) error {
	frame, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 4), m)
	if err != nil {
		return err
	}
	size := len(frame) - 4
	if size > MaxHello {
		return fmt.Errorf("%T of %d bytes is over the limit of %d", m, size, MaxHello)
	}
	binary.BigEndian.PutUint32(frame, uint32(size))
	_, err = w.Write(frame)
	return err
}

// ReadMessage reads into m what WriteMessage wrote, and not one byte more: what
// follows on the connection is HTTP/2.
func ReadMessage(r io.Reader, m proto.Message) error {
	var prefix [4]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return fmt.Errorf("reading the length of a %T: %w", m, err)
	}
	size := binary.BigEndian.Uint32(prefix[:])
	if size > MaxHello {
		return fmt.Errorf("%T of %d bytes is over the limit of %d", m, size, MaxHello)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("reading a %T of %d bytes: %w", m, size, err)
	}
	return proto.Unmarshal(body, m)
}
