// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	clientkubernetes "go.etcd.io/etcd/client/v3/kubernetes"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"

	safebeamstorage "safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// Names of contenders. All ratios are to etcd.
const (
	nameOurs = "safebeam"
	nameEtcd = "etcd"
	nameKine = "kine"
)

// contender is an open store.
type contender struct {
	name  string
	store storage.Interface
	// flags is how it was started, for the reader.
	flags string
	// dir is all that it has on disk.
	dir string
	// pid is the server's process, this one for ours.
	pid int
	// db is set for ours.
	db    *bbolt.DB
	close func()
}

// opener starts a contender in a directory.
type opener func(ctx context.Context, dir string) (*contender, error)

func openOurs(_ context.Context, dir string) (*contender, error) {
	db, err := bbolt.Open(bbolt.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	// As the server opens a resource without a watch cache, whose watches are
	// raw ones. To everything but watches it makes no difference.
	store, err := newStore(db.Client(), db, safebeamstorage.DecodeOnce(ourCodec))
	if err != nil {
		return nil, err
	}
	return &contender{
		name: nameOurs, store: safebeamstorage.OnBBolt(store, db, keyPrefix, resourcePrefix), db: db,
		flags: "in this process, the server's defaults", dir: dir, pid: os.Getpid(),
		close: func() { _ = db.Close() },
	}, nil
}

func newStore(client *clientkubernetes.Client, compactor etcd3.Compactor, codec runtime.Codec) (storage.Interface, error) {
	versioner := storage.APIObjectVersioner{}
	return etcd3.New(client, compactor, codec, newPod, newPodList, keyPrefix, resourcePrefix, resource,
		identity.NewEncryptCheckTransformer(), etcd3.NewDefaultLeaseManagerConfig(), etcd3.NewDefaultDecoder(codec, versioner), versioner)
}

// openEtcd runs an etcd with its defaults.
func openEtcd(binary string) opener {
	return func(ctx context.Context, dir string) (*contender, error) {
		client, peer, err := twoPorts()
		if err != nil {
			return nil, err
		}
		return openServer(ctx, nameEtcd, dir, client, binary,
			"--data-dir="+filepath.Join(dir, "data"), "--name=bench",
			"--listen-client-urls="+client, "--advertise-client-urls="+client,
			"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=bench="+peer,
			"--log-level=error")
	}
}

// openKine runs a kine on SQLite that syncs each commit. Its default,
// synchronous=NORMAL, answers before anything is on the disk.
func openKine(binary string) opener {
	return func(ctx context.Context, dir string) (*contender, error) {
		client, metrics, err := twoPorts()
		if err != nil {
			return nil, err
		}
		file, err := filepath.Abs(filepath.Join(dir, "state.db"))
		if err != nil {
			return nil, err
		}
		dsn := "sqlite://" + file + "?_journal=WAL&cache=shared&_busy_timeout=30000&_synchronous=FULL&_txlock=immediate"
		return openServer(ctx, nameKine, dir, client, binary,
			"--endpoint="+dsn, "--listen-address="+client, "--metrics-bind-address="+strings.TrimPrefix(metrics, "http://"))
	}
}

func openServer(ctx context.Context, name, dir, url, binary string, args ...string) (*contender, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	output, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	server := exec.Command(binary, args...)
	server.Stdout, server.Stderr, server.Dir = output, output, dir
	// The server must not outlive us, however we end.
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	client, err := clientkubernetes.New(clientv3.Config{Endpoints: []string{url}, Logger: zap.NewNop(), DialTimeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	stop := func() {
		_ = client.Close()
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = output.Close()
	}
	if err := answers(ctx, client); err != nil {
		stop()
		return nil, fmt.Errorf("%s does not answer, see %s: %w", name, output.Name(), err)
	}
	store, err := newStore(client, nil, codec)
	if err != nil {
		stop()
		return nil, err
	}
	return &contender{
		name: name, store: store, dir: dir, pid: server.Process.Pid, close: stop,
		flags: filepath.Base(binary) + " " + strings.Join(args, " "),
	}, nil
}

// answers waits for the first answer of a server that has just been started.
func answers(ctx context.Context, client *clientkubernetes.Client) error {
	deadline := time.Now().Add(time.Minute)
	for {
		try, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err := client.KV.Get(try, "health")
		cancel()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func twoPorts() (first, second string, err error) {
	var urls [2]string
	for i := range urls {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close() //nolint:errcheck // only its number is wanted
		urls[i] = "http://" + l.Addr().String()
	}
	return urls[0], urls[1], nil
}

// cached puts a watch cache on the contender's store and waits until it is
// filled.
func (c *contender) cached(ctx context.Context) (storage.Interface, func(), time.Duration, error) {
	start := time.Now()
	store, stop, err := safebeamstorage.NewCached(cacher.Config{
		Storage: c.store, Versioner: storage.APIObjectVersioner{}, GroupResource: resource,
		EventsHistoryWindow: cacher.DefaultEventFreshDuration, ResourcePrefix: resourcePrefix,
		KeyFunc:      podKey,
		GetAttrsFunc: podAttrs, NewFunc: newPod, NewListFunc: newPodList, Codec: codec,
	})
	if err != nil {
		return nil, nil, 0, err
	}
	for store.ReadinessCheck() != nil {
		if ctx.Err() != nil {
			stop()
			return nil, nil, 0, ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
	return store, stop, time.Since(start), nil
}
