// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tabletest prints tables as kubectl does, at a fixed time.
package tabletest

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"

	"safebeam.dev/safebeam/apis/internal/table"
)

// Now is the time at which everything is printed.
var Now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Ago is a time that long before Now.
func Ago(d time.Duration) *metav1.Time { return &metav1.Time{Time: Now.Add(-d)} }

// Meta is that of an object of some age.
func Meta(name string, age time.Duration) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: "default", CreationTimestamp: *Ago(age)}
}

// Looks wants an object or list to be printed as given, but for spaces at the
// ends of lines.
func Looks[T runtime.Object](t *testing.T, columns []table.Column[T], object runtime.Object, wide bool, want string) {
	t.Helper()
	converted, err := table.NewWithClock(func() time.Time { return Now }, columns...).ConvertToTable(context.Background(), object, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printers.NewTablePrinter(printers.PrintOptions{Wide: wide}).PrintObj(converted, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	if got := "\n" + strings.Join(lines, "\n"); got != want {
		t.Errorf("got:%s\nwant:%s", got, want)
	}
}
