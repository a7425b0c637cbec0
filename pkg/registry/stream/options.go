// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LastEventID is the header in which a client of server-sent events says
// where it was. It wins over ?after=, which such a client repeats unchanged
// when it reconnects.
const LastEventID = "Last-Event-ID"

// Query reads the parameters of a stream request and collects what is wrong
// with them, so that one answer names all of it.
type Query struct {
	values url.Values
	header http.Header
	known  []string
	causes []metav1.StatusCause
}

// NewQuery reads from a request.
func NewQuery(r *http.Request) *Query {
	return &Query{values: r.URL.Query(), header: r.Header}
}

func (q *Query) get(name string) (string, bool) {
	q.known = append(q.known, name)
	values, ok := q.values[name]
	if !ok || len(values) == 0 {
		return "", false
	}
	if len(values) > 1 {
		q.refuse(name, fmt.Sprintf("%s is given %d times", name, len(values)))
	}
	return values[0], true
}

func (q *Query) refuse(name, message string) {
	q.causes = append(q.causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: name, Message: message})
}

// After is the number after which reading begins.
func (q *Query) After() int64 {
	after := q.Count("after")
	id := q.header.Get(LastEventID)
	if id == "" {
		return after
	}
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil || number < 0 {
		q.refuse(LastEventID, fmt.Sprintf("header %s is the id of the last event that was read, a number of at least 0, not %q", LastEventID, id))
		return 0
	}
	return number
}

// Count is a parameter that is a number of at least 0; 0 if it is not given.
func (q *Query) Count(name string) int64 {
	text, ok := q.get(name)
	if !ok {
		return 0
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 {
		q.refuse(name, fmt.Sprintf("%s is a number of at least 0, not %q", name, text))
		return 0
	}
	return number
}

// Seconds is a parameter that is a number of seconds, from 0 to a bound; 0 if it
// is not given.
func (q *Query) Seconds(name string, most time.Duration) time.Duration {
	seconds := q.Count(name)
	if bound := int64(most / time.Second); seconds > bound {
		q.refuse(name, fmt.Sprintf("%s is at most %d, not %d", name, bound, seconds))
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Bool is a parameter that is true or false.
func (q *Query) Bool(name string, unset bool) bool {
	text, ok := q.get(name)
	if !ok {
		return unset
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		q.refuse(name, fmt.Sprintf("%s is true or false, not %q", name, text))
		return unset
	}
	return value
}

// OneOf is a parameter that is one of the choices, the first if not given. The
// choice "" is that of who does not choose: nobody is told to write it.
func (q *Query) OneOf(name string, choices ...string) string {
	text, ok := q.get(name)
	if !ok {
		return choices[0]
	}
	if !slices.Contains(choices, text) {
		named := slices.DeleteFunc(slices.Clone(choices), func(choice string) bool { return choice == "" })
		q.refuse(name, fmt.Sprintf("%s is one of %s, not %q", name, strings.Join(named, ", "), text))
		return choices[0]
	}
	return text
}

// Err is a 400 that names everything that is wrong, parameters that nothing
// asked for included; nil if nothing is.
func (q *Query) Err() error {
	for name := range q.values {
		if !slices.Contains(q.known, name) {
			slices.Sort(q.known)
			q.causes = append(q.causes, metav1.StatusCause{Type: "FieldValueUnknown", Field: name,
				Message: fmt.Sprintf("unknown parameter %q, there is %s", name, strings.Join(slices.Compact(q.known), ", "))})
		}
	}
	if len(q.causes) == 0 {
		return nil
	}
	messages := make([]string, 0, len(q.causes))
	slices.SortStableFunc(q.causes, func(a, b metav1.StatusCause) int { return strings.Compare(a.Field, b.Field) })
	for _, cause := range q.causes {
		messages = append(messages, cause.Message)
	}
	status := apierrors.NewBadRequest(strings.Join(messages, "; "))
	status.ErrStatus.Details = &metav1.StatusDetails{Causes: q.causes}
	return status
}
