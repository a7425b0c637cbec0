// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// The controller is client-go's informers and our typed clientset, in a pod,
// with that pod's ServiceAccount. When our server is away and comes back, its
// watches go on: no informer lists more than once, counted in the audit log.
func TestRestartCostsAtMostOneListPerInformer(t *testing.T) {
	needCluster(t)
	ns := namespace(t)
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	before := serverPod(t)
	if err := kube.CoreV1().Pods(system).Delete(t.Context(), before, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](1)}); err != nil {
		t.Fatal(err)
	}
	serverUp(t, before)
	// Informers are back when what they see is acted on.
	echo(t, ns, `{answer: back}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)

	var lists, watches map[string]int
	eventually(t, 60*time.Second, func(context.Context) error {
		lists, watches = requestsOf(t, controller)
		back := 0
		for what := range lists {
			if _, too := watches[what]; !too && strings.HasPrefix(what, "/apis/tightbeam.dev/") {
				back++
			}
		}
		for what := range watches {
			if strings.HasPrefix(what, "/apis/tightbeam.dev/") {
				back++
			}
		}
		if back < 4 { // models, conversations, turns twice
			return fmt.Errorf("not all informers are back: lists %v, watches %v", lists, watches)
		}
		return nil
	})
	for what, n := range lists {
		if n > 1 {
			t.Errorf("%s was listed %d times", what, n)
		}
	}
	t.Logf("lists %v, watches %v", lists, watches)
}

// The same for anybody's client in a pod: our typed clientset and informers with
// the ServiceAccount of the pod and no setting of its own, which begin with a
// watch that brings all objects (WatchList).
func TestInformersInAPodOutliveOurRestart(t *testing.T) {
	needCluster(t)
	ns := namespace(t)
	echo(t, ns, `{}`)
	kubectl(t, "", "-n", ns, "create", "rolebinding", "viewer", "--clusterrole=view", "--serviceaccount="+ns+":default")
	const resources = 4
	pod := probe(t, ns, "informers", nil, "watch", ns)
	seen := func(what string) {
		t.Helper()
		eventually(t, 60*time.Second, func(ctx context.Context) error {
			out, err := tryKubectl(ctx, "", "-n", ns, "logs", pod.Name)
			if err == nil && !strings.Contains(out, what+"\n") {
				err = fmt.Errorf("the informers did not see %q:\n%s", what, out)
			}
			return err
		})
	}
	seen("added conversations c")
	lists, watches := requestsOf(t, "system:serviceaccount:"+ns+":default")
	if len(lists) != resources || len(watches) != 0 {
		t.Errorf("the first lists were %v, watches without one %v", lists, watches)
	}

	before := serverPod(t)
	if err := kube.CoreV1().Pods(system).Delete(t.Context(), before, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](1)}); err != nil {
		t.Fatal(err)
	}
	serverUp(t, before)
	apply(t, ns, "apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: later}\nspec: {model: echo}\n")
	seen("added conversations later")
	kubectl(t, "", "-n", ns, "delete", "conversation", "c")
	seen("deleted conversations c")
	eventually(t, 60*time.Second, func(context.Context) error {
		if lists, watches = requestsOf(t, "system:serviceaccount:"+ns+":default"); len(lists)+len(watches) < resources {
			return fmt.Errorf("not all informers are back: lists %v, watches %v", lists, watches)
		}
		return nil
	})
	for what, n := range lists {
		if n > 1 {
			t.Errorf("%s was listed %d times after our restart", what, n)
		}
	}
	t.Logf("after our restart: lists %v, watches %v", lists, watches)
}

// requestsOf counts a user's lists and watches in the server's audit log, by
// resource and selector. A watch that begins with all objects is a list.
func requestsOf(t *testing.T, user string) (lists, watches map[string]int) {
	t.Helper()
	lists, watches = map[string]int{}, map[string]int{}
	log := kubectl(t, "", "-n", system, "logs", serverPod(t))
	for _, line := range strings.Split(log, "\n") {
		var event struct {
			Kind, Stage, Verb, RequestURI string
			User                          struct{ Username string }
		}
		if !strings.HasPrefix(line, `{"kind":"Event"`) || json.Unmarshal([]byte(line), &event) != nil || event.User.Username != user {
			continue
		}
		uri, err := url.Parse(event.RequestURI)
		if err != nil {
			t.Fatal(err)
		}
		what := uri.Path + "?" + uri.Query().Get("fieldSelector")
		switch {
		case event.Verb == "list" && event.Stage == "ResponseComplete",
			event.Verb == "watch" && event.Stage == "ResponseStarted" && uri.Query().Get("sendInitialEvents") == "true":
			lists[what]++
		case event.Verb == "watch" && event.Stage == "ResponseStarted":
			watches[what]++
		}
	}
	return lists, watches
}
