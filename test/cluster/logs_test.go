// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// While our server is there, the cluster's own controllers have nothing to say
// about our groups. It is not parallel: the tests that take the server away
// make them speak.
func TestClustersControllersAreContentWithUs(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("reads the log of hack/cluster's kube-controller-manager")
	}
	log := stateFile("log/controller-manager.log")
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	// What the tests before have left is to settle first.
	settled := info.Size()
	eventually(t, 120*time.Second, func(context.Context) error {
		before := settled
		time.Sleep(5 * time.Second)
		info, err := os.Stat(log)
		if err != nil {
			return err
		}
		if settled = info.Size(); len(complaints(t, log, before)) > 0 {
			return fmt.Errorf("still: %s", complaints(t, log, before)[0])
		}
		return nil
	})

	ns := namespace(t)
	echo(t, ns, `{}`)
	for range 5 {
		ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	}
	// A test before this one takes our types away, and the collector looks every
	// 30 s for such as have come, a second time if it met them half there.
	kubectl(t, "", "-n", ns, "delete", "conversation", "c", "--cascade=foreground", patience)
	kubectl(t, "", "-n", ns, "delete", "tbm", "echo", patience)
	kubectl(t, "", "delete", "namespace", ns, patience)

	// The collector looks again every 30 s at what it could not do at once.
	time.Sleep(30 * time.Second)
	for _, queue := range []string{"garbage_collector_attempt_to_delete", "garbage_collector_attempt_to_orphan", "garbage_collector_graph_changes"} {
		// Something else may be in it for a moment; what it cannot do stays.
		eventually(t, 15*time.Second, func(context.Context) error {
			if depth, found := value(controllerManagerMetrics(t), `workqueue_depth{name="`+queue+`"}`); !found || depth != 0 {
				return fmt.Errorf("the queue %s has %v items, found %v", queue, depth, found)
			}
			return nil
		})
	}
	if said := complaints(t, log, settled); len(said) > 0 {
		t.Errorf("%d complaints, the first: %s", len(said), said[0])
	}
}

var severity = regexp.MustCompile(`^[EW]\d{4} `)

// complaints are the warnings and errors after an offset that name our groups.
func complaints(t *testing.T, log string, offset int64) (found []string) {
	t.Helper()
	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(offset, 0); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if line := lines.Text(); severity.MatchString(line) && (strings.Contains(line, "tightbeam.dev") || strings.Contains(line, "llmsafespace.dev")) {
			found = append(found, line)
		}
	}
	return found
}
