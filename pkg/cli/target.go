// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	tightbeamclient "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/tightbeam/v1"
)

// target is where a command works: which server, as whom, in which namespace.
type target struct {
	flags *genericclioptions.ConfigFlags
}

// addTarget adds kubectl's flags to a command.
func addTarget(command *cobra.Command) *target {
	t := &target{flags: genericclioptions.NewConfigFlags(true)}
	t.flags.AddFlags(command.Flags())
	_ = command.RegisterFlagCompletionFunc("namespace", cobra.NoFileCompletions)
	return t
}

func (t *target) namespace() (string, error) {
	namespace, _, err := t.flags.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}

func (t *target) connect() (tightbeamclient.TightbeamV1Interface, error) {
	config, err := t.flags.ToRESTConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no server is configured: set KUBECONFIG, or start one with `safebeam standalone`")
	}
	if err != nil {
		return nil, err
	}
	clients, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return clients.TightbeamV1(), nil
}

// explain makes an error of the API one that a user can act on.
func explain(err error) error {
	var unreachable *url.Error
	switch {
	case errors.As(err, &unreachable) && utilnet.IsConnectionRefused(err):
		host := unreachable.URL
		if u, parseErr := url.Parse(host); parseErr == nil {
			host = u.Host
		}
		return fmt.Errorf("no server answers at %s: is it running? (%w)", host, errors.Unwrap(unreachable))
	case apierrors.IsNotFound(err) && strings.Contains(err.Error(), "could not find the requested resource"):
		return fmt.Errorf("the server does not serve tightbeam.dev/v1: Safebeam is not installed there, or not ready (%w)", err)
	}
	return err
}

const (
	createTries = 5
	createPause = 200 * time.Millisecond
)

// again makes a request once more if the connection broke before the answer.
// The request must be one that may be carried out twice.
func again[T any](ctx context.Context, request func() (T, error)) (T, error) {
	answer, err := request()
	for try := 1; try < createTries && broken(err); try++ {
		timer := time.NewTimer(createPause << try)
		select {
		case <-ctx.Done():
			timer.Stop()
			return answer, err
		case <-timer.C:
		}
		answer, err = request()
	}
	return answer, err
}

// broken reports whether a request may have been carried out although nobody
// said so. A refused connection is neither that nor worth waiting for.
func broken(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var network net.Error
	return utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err) ||
		errors.Is(err, syscall.EPIPE) || errors.As(err, &network) && network.Timeout()
}

// validName refuses early what the server would refuse, and what would be
// another path.
func validName(kind, name string) error {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return fmt.Errorf("%s %q: %s", kind, name, strings.Join(problems, "; "))
	}
	return nil
}

// completeNames completes the names that list gives.
func (t *target) completeNames(list func(context.Context, tightbeamclient.TightbeamV1Interface, string) ([]metav1.ObjectMeta, error)) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		namespace, err := t.namespace()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		client, err := t.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		// A completion that takes longer is in the way.
		ctx, cancel := context.WithTimeout(command.Context(), 3*time.Second)
		defer cancel()
		objects, err := list(ctx, client, namespace)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, object := range objects {
			if strings.HasPrefix(object.Name, prefix) {
				names = append(names, object.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completionLimit bounds how many names are asked for.
const completionLimit = 500

func (t *target) completeModels() cobra.CompletionFunc {
	return t.completeNames(func(ctx context.Context, client tightbeamclient.TightbeamV1Interface, namespace string) (names []metav1.ObjectMeta, err error) {
		list, err := client.TightbeamModels(namespace).List(ctx, metav1.ListOptions{Limit: completionLimit})
		if err != nil {
			return nil, err
		}
		for _, model := range list.Items {
			names = append(names, model.ObjectMeta)
		}
		return names, nil
	})
}

func (t *target) completeConversations() cobra.CompletionFunc {
	return t.completeNames(func(ctx context.Context, client tightbeamclient.TightbeamV1Interface, namespace string) (names []metav1.ObjectMeta, err error) {
		list, err := client.Conversations(namespace).List(ctx, metav1.ListOptions{Limit: completionLimit})
		if err != nil {
			return nil, err
		}
		for _, conversation := range list.Items {
			names = append(names, conversation.ObjectMeta)
		}
		return names, nil
	})
}

// first completes the first argument alone.
func first(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(command, args, prefix)
	}
}
