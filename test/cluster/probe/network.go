// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// dialTimeout is long against a connection within a machine, and short against
// the patience of a test.
const dialTimeout = 2 * time.Second

func listen(ports []string) error {
	failed := make(chan error)
	for _, port := range ports {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					failed <- err
					return
				}
				_ = conn.Close() // being reached is all there is to it
			}
		}()
	}
	fmt.Println("listening")
	return <-failed
}

func dial(addresses []string) error {
	results := make([]string, len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		all.Go(func() {
			conn, err := net.DialTimeout("tcp", address, dialTimeout)
			if err != nil {
				results[i] = fmt.Sprintf("closed %s: %v", address, err)
				return
			}
			_ = conn.Close()
			results[i] = "open " + address
		})
	}
	all.Wait()
	for _, result := range results {
		fmt.Println(result)
	}
	return nil
}
