// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package heads

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func request(policy tightbeamv1.ConcurrencyPolicy, max *int32, name string) Request {
	turn := &tightbeamv1.Turn{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
	turn.Spec.Messages = []tightbeamv1.Message{{Role: tightbeamv1.RoleUser}}
	return Request{
		Conversation: &tightbeamv1.Conversation{
			ObjectMeta: metav1.ObjectMeta{Name: "c", UID: "c"},
			Spec:       tightbeamv1.ConversationSpec{ConcurrencyPolicy: policy, MaxQueuedTurns: max},
		},
		Turn: turn,
	}
}

func queue(n int) []Claim {
	var claims []Claim
	for i := range n {
		claims = append(claims, Claim{Name: fmt.Sprint("t", i), UID: types.UID(fmt.Sprint("t", i)), Position: int64(i + 1)})
	}
	return claims
}

func TestAClaimIsGrantedByPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy  tightbeamv1.ConcurrencyPolicy
		max     *int32
		waiting int // with the running one
		refused func(error) bool
		says    string
	}{
		{policy: tightbeamv1.ConcurrencyEnqueue, max: ptr.To[int32](0), waiting: 0},
		{policy: tightbeamv1.ConcurrencyEnqueue, max: ptr.To[int32](0), waiting: 1, refused: apierrors.IsTooManyRequests, says: "0 turns wait, spec.maxQueuedTurns is 0"},
		{policy: tightbeamv1.ConcurrencyEnqueue, max: ptr.To[int32](2), waiting: 2},
		{policy: tightbeamv1.ConcurrencyEnqueue, max: ptr.To[int32](2), waiting: 3, refused: apierrors.IsTooManyRequests, says: "2 turns wait"},
		{policy: tightbeamv1.ConcurrencyEnqueue, waiting: 100},
		{policy: "", max: ptr.To[int32](0), waiting: 1, refused: apierrors.IsTooManyRequests},
		{policy: tightbeamv1.ConcurrencyReject, waiting: 0},
		{policy: tightbeamv1.ConcurrencyReject, waiting: 1, refused: apierrors.IsConflict, says: `turn "t0" is not finished`},
		{policy: tightbeamv1.ConcurrencyInterrupt, max: ptr.To[int32](0), waiting: 5},
		{policy: tightbeamv1.ConcurrencyRollback, max: ptr.To[int32](0), waiting: 5},
		{policy: tightbeamv1.ConcurrencyRollback, waiting: maxPreempted, refused: apierrors.IsTooManyRequests},
	} {
		head := &Head{Positions: int64(c.waiting), Queue: queue(c.waiting)}
		err := claim(head, request(c.policy, c.max, "new"))
		switch {
		case c.refused == nil && err != nil:
			t.Errorf("%s with %d: %v", c.policy, c.waiting, err)
		case c.refused != nil && (!c.refused(err) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s with %d: got %v, want %q", c.policy, c.waiting, err, c.says)
		case c.refused != nil && (len(head.Queue) != c.waiting || head.Positions != int64(c.waiting)):
			t.Errorf("%s with %d: a refusal left %+v", c.policy, c.waiting, head)
		case c.refused == nil:
			last := head.Queue[len(head.Queue)-1]
			if last.Name != "new" || last.Position != int64(c.waiting+1) || head.Positions != last.Position || last.Policy != c.policy {
				t.Errorf("%s with %d: claimed as %+v", c.policy, c.waiting, last)
			}
		}
	}
}

func TestAClaimIsMadeOnce(t *testing.T) {
	t.Parallel()
	head := &Head{}
	for range 2 {
		if err := claim(head, request(tightbeamv1.ConcurrencyReject, nil, "one")); err != nil {
			t.Fatal(err)
		}
	}
	if len(head.Queue) != 1 || head.Positions != 1 {
		t.Errorf("%+v", head)
	}
}

func TestAClosedHeadTakesNoClaim(t *testing.T) {
	t.Parallel()
	err := claim(&Head{Closed: true}, request("", nil, "one"))
	if !apierrors.IsNotFound(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldValueNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyATurnThatFollowsTheRouterMayBringNoMessage(t *testing.T) {
	t.Parallel()
	silent := request("", nil, "one")
	silent.Turn.Spec.Messages = nil
	for name, c := range map[string]struct {
		head *Head
		ok   bool
	}{
		"the first":                       {&Head{}, false},
		"after an agent":                  {&Head{LastAgent: "a"}, false},
		"after the router":                {&Head{LastAgent: tightbeamv1.RouterAgent}, true},
		"behind the router":               {&Head{Queue: []Claim{{UID: "r", Agent: tightbeamv1.RouterAgent}}}, true},
		"behind an agent, router earlier": {&Head{LastAgent: tightbeamv1.RouterAgent, Queue: []Claim{{UID: "r", Agent: "a"}}}, false},
	} {
		if err := claim(c.head, silent); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
