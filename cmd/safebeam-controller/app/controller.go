// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"safebeam.dev/safebeam/pkg/controller"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/launcher/kubernetes"
)

// A leader that is gone without a word is replaced after leaseDuration; one
// that ends in order, at once.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// The client's own limits would hold cold turns up; the kube-apiserver has
// priority and fairness.
const (
	queriesPerSecond = 200
	burst            = 400
)

// Run works, whenever this process is the leader, until ctx ends.
func Run(ctx context.Context, o *Options) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = queriesPerSecond, burst
	config.UserAgent = rest.DefaultKubernetesUserAgent()
	cluster, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	own, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	lock, elector, err := o.elector(config)
	if err != nil {
		return err
	}
	watchdog := leaderelection.NewLeaderHealthzAdaptor(20 * time.Second)
	stopped, stop, err := o.serve(watchdog)
	if err != nil {
		return err
	}
	defer func() { stop(); <-stopped }()

	elector.WatchDog = watchdog
	return lead(ctx, elector, func(ctx context.Context) error {
		klog.FromContext(ctx).Info("Leading", "lease", lock.Describe())
		return o.work(ctx, cluster, own)
	})
}

// lead stands for election until ctx ends, and works while it leads. The Lease
// is given up after the work has ended, never before.
func lead(ctx context.Context, config *leaderelection.LeaderElectionConfig, work func(context.Context) error) error {
	standing, stand := context.WithCancel(context.WithoutCancel(ctx))
	defer stand()
	var (
		leads  atomic.Bool
		done   = make(chan struct{})
		worked error
	)
	config.Callbacks = leaderelection.LeaderCallbacks{
		OnStartedLeading: func(leading context.Context) {
			leads.Store(true)
			defer close(done)
			defer stand()
			working, end := context.WithCancel(leading)
			defer end()
			defer context.AfterFunc(ctx, end)()
			worked = work(working)
			if worked == nil && leading.Err() != nil && ctx.Err() == nil {
				worked = errors.New("the Lease was lost")
			}
		},
		OnStoppedLeading: func() {},
	}
	election, err := leaderelection.NewLeaderElector(*config)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		if !leads.Load() {
			stand()
		}
	})()
	election.Run(standing)
	if leads.Load() {
		<-done
	}
	if errors.Is(worked, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return worked
}

func (o *Options) elector(config *rest.Config) (resourcelock.Interface, *leaderelection.LeaderElectionConfig, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, err
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.LeaderElectNamespace, o.LeaderElectName,
		resourcelock.ResourceLockConfig{Identity: host + "_" + uuid.NewString()}, config, renewDeadline)
	if err != nil {
		return nil, nil, fmt.Errorf("leader election: %w", err)
	}
	return lock, &leaderelection.LeaderElectionConfig{
		Lock: lock, Name: o.LeaderElectName,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
	}, nil
}

// work runs the controllers until ctx ends or one of them fails.
func (o *Options) work(ctx context.Context, cluster clientset.Interface, own versioned.Interface) error {
	ca := &authority{client: cluster.CoreV1().RESTClient(), service: o.APIService}
	if err := ca.wait(ctx); err != nil {
		return nil // ended before there was anything to do
	}
	go ca.Run(ctx)
	port, err := o.gatewayPort()
	if err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	launcher, err := kubernetes.New(watching, kubernetes.Options{
		Client: cluster, Records: records{own}, Images: o.images(),
		Network: kubernetes.Network{
			GatewayNamespace: o.GatewayNamespace, GatewayLabels: o.GatewayLabels, GatewayPort: port, ClusterCIDRs: o.ClusterCIDRs,
		},
		GatewayAddress: o.GatewayAddress, GatewayCA: ca.Bundle,
		OpenCommand: "kubectl create rolebinding safebeam-jobs --namespace %s --clusterrole safebeam-jobs --serviceaccount " +
			o.LeaderElectNamespace + ":safebeam-controller",
		Clock: clock.RealClock{},
	})
	if err != nil {
		stopWatching()
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { stopWatching(); launcher.Wait() }()
	sandboxes, wait, err := o.sandboxOptions(watching, cluster, ca)
	if err != nil {
		return err
	}
	defer func() { stopWatching(); wait() }()
	var tell func()
	sandboxes.Recorder, tell = events(watching, cluster)
	defer tell()
	loops, err := controller.New(controller.Options{Client: own, Launcher: launcher, Sandboxes: sandboxes, TurnTTL: &o.TurnTTL})
	if err != nil {
		return err
	}
	return loops.Run(ctx)
}
