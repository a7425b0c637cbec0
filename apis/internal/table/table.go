// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package table turns objects into the rows that kubectl get prints. It is
// what the printing packages of both API groups are made of.
package table

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// None is what a cell shows that has nothing to show: an empty one would be
// taken for its neighbour by whoever reads columns with a program.
const None = "<none>"

// Column is one column of a table of objects.
type Column[T runtime.Object] struct {
	Name string
	// Type of the cells: string, integer or number. Default string.
	Type        string
	Description string
	// Wide columns are printed by -o wide only.
	Wide bool
	Cell func(object T, now time.Time) any
}

// Convertor is a rest.TableConvertor of one kind. A first column with the name
// and a column with the age before the wide ones are always there.
type Convertor[T runtime.Object] struct {
	columns []Column[T]
	now     func() time.Time
}

// New returns a convertor with the columns given.
func New[T runtime.Object](columns ...Column[T]) *Convertor[T] {
	return NewWithClock(time.Now, columns...)
}

// NewWithClock is New with the time that ages are counted to.
func NewWithClock[T runtime.Object](now func() time.Time, columns ...Column[T]) *Convertor[T] {
	all := []Column[T]{{Name: "Name", Description: description("name"), Cell: func(object T, _ time.Time) any {
		return accessor(object).GetName()
	}}}
	for _, column := range columns {
		if !column.Wide {
			all = append(all, column)
		}
	}
	all = append(all, Column[T]{Name: "Age", Description: description("creationTimestamp"), Cell: func(object T, now time.Time) any {
		return Age(now, accessor(object).GetCreationTimestamp().Time)
	}})
	for _, column := range columns {
		if column.Wide {
			all = append(all, column)
		}
	}
	return &Convertor[T]{columns: all, now: now}
}

func description(field string) string { return metav1.ObjectMeta{}.SwaggerDoc()[field] }

// accessor cannot fail: every kind of ours embeds ObjectMeta.
func accessor(object runtime.Object) metav1.Object {
	m, err := meta.Accessor(object)
	if err != nil {
		panic(err)
	}
	return m
}

// ConvertToTable makes the table of an object or of a list.
func (c *Convertor[T]) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	now := c.now()
	addRow := func(item runtime.Object) error {
		typed, ok := item.(T)
		if !ok {
			return fmt.Errorf("cannot print %T in this table", item)
		}
		row := metav1.TableRow{Object: runtime.RawExtension{Object: item}, Cells: make([]any, len(c.columns))}
		for i, column := range c.columns {
			row.Cells[i] = column.Cell(typed, now)
		}
		table.Rows = append(table.Rows, row)
		return nil
	}
	if meta.IsListType(object) {
		if err := meta.EachListItem(object, addRow); err != nil {
			return nil, err
		}
	} else if err := addRow(object); err != nil {
		return nil, err
	}
	if list, err := meta.ListAccessor(object); err == nil {
		table.ResourceVersion, table.Continue, table.RemainingItemCount = list.GetResourceVersion(), list.GetContinue(), list.GetRemainingItemCount()
	} else if item, err := meta.CommonAccessor(object); err == nil {
		table.ResourceVersion = item.GetResourceVersion()
	}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		table.ColumnDefinitions = c.definitions()
	}
	return table, nil
}

func (c *Convertor[T]) definitions() []metav1.TableColumnDefinition {
	definitions := make([]metav1.TableColumnDefinition, len(c.columns))
	for i, column := range c.columns {
		definition := metav1.TableColumnDefinition{Name: column.Name, Type: column.Type, Description: column.Description}
		if definition.Type == "" {
			definition.Type = "string"
		}
		if i == 0 {
			definition.Format = "name"
		}
		if column.Wide {
			definition.Priority = 1
		}
		definitions[i] = definition
	}
	return definitions
}
