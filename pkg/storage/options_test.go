// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func parse(t *testing.T, args ...string) *Options {
	t.Helper()
	o := NewOptions()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return o
}

func TestValidateNamesTheFlagThatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string // "" for no error
	}{
		{"the defaults are valid", nil, ""},
		{"etcd needs servers", []string{"--storage-backend=etcd3"}, "--etcd-servers"},
		{"etcd with a server is valid", []string{"--storage-backend=etcd3", "--etcd-servers=https://a:2379,https://b:2379"}, ""},
		{"a server without scheme", []string{"--storage-backend=etcd3", "--etcd-servers=a:2379"}, "https://host:2379"},
		{"a certificate and plain http", []string{"--storage-backend=etcd3", "--etcd-servers=http://a:2379", "--etcd-cafile=/ca"}, "plain http"},
		{"a certificate without key", []string{"--storage-backend=etcd3", "--etcd-servers=https://a:2379", "--etcd-certfile=/c"}, "go together"},
		{"servers that nobody asks", []string{"--etcd-servers=https://a:2379"}, "no effect"},
		{"an unknown engine", []string{"--storage-backend=sqlite"}, "use bbolt or etcd3"},
		{"a relative directory", []string{"--data-dir=here"}, "--data-dir"},
		{"a negative quota", []string{"--store-quota-bytes=-1"}, "--store-quota-bytes"},
		{"a quota that history alone fills", []string{"--store-quota-bytes=1000"}, "--store-history-max-bytes"},
		{"a history that caches cannot resume from", []string{"--store-history-retention=1m"}, "--store-history-retention"},
		{"too little room for history", []string{"--store-history-max-bytes=1"}, "--store-history-max-bytes"},
		{"bad cache sizes", []string{"--watch-cache-sizes=turns"}, "--watch-cache-sizes"},
		{"a relative encryption configuration", []string{"--encryption-provider-config=enc.yaml"}, "absolute"},
		{"a reload of nothing", []string{"--encryption-provider-config-automatic-reload"}, "--encryption-provider-config"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := errors.Join(parse(t, test.args...).Validate()...)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("%v: %v", test.args, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v: %v; want an error with %q", test.args, err, test.want)
			}
		})
	}
}

func TestFlagsWithoutEffectDoNotExist(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	NewOptions().AddFlags(fs)
	for name := range withheldEtcdFlags {
		if f := fs.Lookup(name); f != nil && name != "storage-backend" {
			t.Errorf("--%s exists", name)
		}
	}
	if got := fs.Lookup("storage-backend").DefValue; got != BackendBBolt {
		t.Errorf("--storage-backend defaults to %q", got)
	}
}
