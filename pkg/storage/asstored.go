// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

var (
	timeType      = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()
	quantityType  = reflect.TypeFor[resource.Quantity]()
	rawType       = reflect.TypeFor[runtime.RawExtension]()
)

// asStored gives the times in v the precision and the zone in which they come
// back from JSON. It returns false if v has anything else that comes back
// otherwise than it went: raw JSON, which loses its white space, and what JSON
// leaves out.
func asStored(v reflect.Value) bool {
	t := v.Type()
	switch t {
	case timeType:
		if at := v.Addr().Interface().(*metav1.Time); !at.IsZero() {
			*at = metav1.Unix(at.Unix(), 0)
		}
		return true
	case microTimeType:
		if at := v.Addr().Interface().(*metav1.MicroTime); !at.IsZero() {
			*at = metav1.NewMicroTime(time.UnixMicro(at.UnixMicro()))
		}
		return true
	case rawType:
		return v.IsZero()
	}
	switch t.Kind() {
	case reflect.Struct:
		for _, i := range fragileFields(t) {
			if !asStored(v.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Pointer:
		if v.IsNil() {
			return true
		}
		// What is written as null is read as nothing at all.
		if e := t.Elem(); (e == timeType || e == microTimeType || e == rawType) && v.Elem().IsZero() {
			return false
		}
		return asStored(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if !asStored(v.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		return v.Len() == 0 // its values cannot be changed in place
	default:
		return v.IsZero()
	}
}

// fragileFields returns the fields of a struct whose values may come back
// otherwise than they went.
func fragileFields(t reflect.Type) []int {
	if known, ok := fragileFieldsOf.Load(t); ok {
		return known.([]int)
	}
	fields := []int{}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.IsExported() && (f.Tag.Get("json") == "-" || fragile(f.Type, map[reflect.Type]bool{t: true})) {
			fields = append(fields, i)
		}
	}
	fragileFieldsOf.Store(t, fields)
	return fields
}

var fragileFieldsOf sync.Map // reflect.Type: []int

// fragile reports whether values of t have to be looked at. within are the
// structs that t was found in: one that contains itself is looked at.
func fragile(t reflect.Type, within map[reflect.Type]bool) bool {
	switch t {
	case timeType, microTimeType, rawType:
		return true
	case quantityType:
		return false
	}
	switch t.Kind() {
	case reflect.Struct:
		if within[t] {
			return true
		}
		within[t] = true
		defer delete(within, t)
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && (f.Tag.Get("json") == "-" || fragile(f.Type, within)) {
				return true
			}
		}
		return false
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return fragile(t.Elem(), within)
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return true
	default:
		return false
	}
}
