// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"safebeam.dev/safebeam/pkg/registry/access"
)

var things = schema.GroupVersionResource{Group: "example.dev", Version: "v1", Resource: "things"}

// wishes are those to use n things, whose names are their numbers.
func wishes(n int) []access.Wish {
	var wishes []access.Wish
	for i := range n {
		wishes = append(wishes, access.Use(field.NewPath("spec", "things").Index(i), things, "ns", fmt.Sprint(i)))
	}
	return wishes
}

func require(ctx context.Context, by authorizer.AuthorizerFunc, wishes ...access.Wish) error {
	return access.Require(request.WithUser(ctx, &user.DefaultInfo{Name: "u"}), by, things.GroupResource(), "it", wishes...)
}

func TestTheFirstThatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	missing := func(names string) authorizer.AuthorizerFunc {
		return func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			if strings.Contains(names, a.GetName()) {
				return authorizer.DecisionNoOpinion, "", nil
			}
			return authorizer.DecisionAllow, "", nil
		}
	}
	for names, first := range map[string]int{"1": 1, "12": 1, "02": 0, "2": 2} {
		err := require(t.Context(), missing(names), wishes(3)...)
		want := fmt.Sprintf(`spec.things[%d]: user "u" needs the verb "use" on things.example.dev "%d" in namespace "ns"`, first, first)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", names, err)
		}
	}
	for n := range 3 {
		if err := require(t.Context(), missing("none"), wishes(n)...); err != nil {
			t.Error(err)
		}
	}
}

func TestWhoCannotBeAskedAboutIsNotLetIn(t *testing.T) {
	t.Parallel()
	down := func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if a.GetName() == "1" {
			return authorizer.DecisionNoOpinion, "", errors.New("the cluster is away")
		}
		return authorizer.DecisionAllow, "", nil
	}
	if err := require(t.Context(), down, wishes(2)...); !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "the cluster is away") {
		t.Errorf("got %v", err)
	}
	if err := access.Require(t.Context(), authorizer.AuthorizerFunc(down), things.GroupResource(), "it", wishes(1)...); !apierrors.IsInternalError(err) {
		t.Errorf("without a user: %v", err)
	}
}

func TestWishesAreAskedAtOnceButNotAllOfThem(t *testing.T) {
	t.Parallel()
	// Each of the first eight is answered when all eight have been asked.
	const atOnce = 8
	var eight sync.WaitGroup
	eight.Add(atOnce)
	var asked, now, most atomic.Int32
	err := require(t.Context(), func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		for n := now.Add(1); ; {
			if m := most.Load(); m >= n || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		if asked.Add(1) <= atOnce {
			eight.Done()
			eight.Wait()
		}
		return authorizer.DecisionAllow, "", nil
	}, wishes(100)...)
	if err != nil || asked.Load() != 100 || most.Load() != atOnce {
		t.Errorf("asked %d, %d at one time, %v", asked.Load(), most.Load(), err)
	}
}
