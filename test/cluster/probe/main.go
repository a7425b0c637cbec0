// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Probe is what the tests of a cluster run in its pods:
//
//	probe listen PORT...        answers on TCP ports
//	probe dial HOST:PORT...     says of each whether it can be reached, and ends
//	probe webhook DIRECTORY     admits on :8443, with the certificate of DIRECTORY
//	probe watch NAMESPACE       says what client-go's informers see
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("what to do, and with what, is missing"))
	}
	commands := map[string]func(arguments []string) error{
		"listen": listen, "dial": dial, "webhook": webhook, "watch": watch,
	}
	command := commands[os.Args[1]]
	if command == nil {
		fail(fmt.Errorf("%q is not known", os.Args[1]))
	}
	if err := command(os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "probe:", err)
	os.Exit(1)
}
