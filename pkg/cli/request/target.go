// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package request

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
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// Target is where a command works: which server, as whom, in which namespace.
type Target struct {
	command *cobra.Command
	flags   *genericclioptions.ConfigFlags
}

// AddTarget adds kubectl's flags to a command.
func AddTarget(command *cobra.Command) *Target {
	t := &Target{command: command, flags: genericclioptions.NewConfigFlags(true)}
	flags := pflag.NewFlagSet("target", pflag.ContinueOnError)
	t.flags.AddFlags(flags)
	command.Flags().AddFlagSet(flags)
	keepApart(command, flags)
	_ = command.RegisterFlagCompletionFunc("namespace", cobra.NoFileCompletions)
	return t
}

// Namespace is the one of the flags or of the kubeconfig.
func (t *Target) Namespace() (string, error) {
	namespace, _, err := t.flags.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}

// Config is how the server is reached.
func (t *Target) Config() (*rest.Config, error) {
	config, err := t.flags.ToRESTConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no server is configured: set KUBECONFIG, or start one with `safebeam standalone`")
	}
	if err != nil {
		return nil, err
	}
	config.WarningHandler = rest.NewWarningWriter(t.command.ErrOrStderr(), rest.WarningWriterOptions{Deduplicate: true})
	return config, nil
}

// Connect gives clients of the server.
func (t *Target) Connect() (versioned.Interface, error) {
	config, err := t.Config()
	if err != nil {
		return nil, err
	}
	return versioned.NewForConfig(config)
}

// Explain makes an error of the API one that a user can act on.
func Explain(err error) error {
	var unreachable *url.Error
	switch {
	case errors.As(err, &unreachable) && utilnet.IsConnectionRefused(err):
		host := unreachable.URL
		if u, parseErr := url.Parse(host); parseErr == nil {
			host = u.Host
		}
		return fmt.Errorf("no server answers at %s: is it running? (%w)", host, errors.Unwrap(unreachable))
	case apierrors.IsNotFound(err) && strings.Contains(err.Error(), "could not find the requested resource"):
		return fmt.Errorf("the server does not serve this API: Safebeam is not installed there, or not ready (%w)", err)
	}
	return err
}

const (
	createTries = 5
	createPause = 200 * time.Millisecond
)

// Again makes a request once more if the connection broke before the answer.
// The request must be one that may be carried out twice.
func Again[T any](ctx context.Context, request func() (T, error)) (T, error) {
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

// ValidName refuses early what the server would refuse, and what would be
// another path.
func ValidName(kind, name string) error {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return fmt.Errorf("%s %q: %s", kind, name, strings.Join(problems, "; "))
	}
	return nil
}

// Complete completes the names of the objects that list gives.
func (t *Target) Complete(list func(ctx context.Context, clients versioned.Interface, namespace string, options metav1.ListOptions) (runtime.Object, error)) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		namespace, err := t.Namespace()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		clients, err := t.Connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		// A completion that takes longer is in the way.
		ctx, cancel := context.WithTimeout(command.Context(), 3*time.Second)
		defer cancel()
		objects, err := list(ctx, clients, namespace, metav1.ListOptions{Limit: completionLimit})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		_ = meta.EachListItem(objects, func(object runtime.Object) error {
			if named, err := meta.Accessor(object); err == nil && strings.HasPrefix(named.GetName(), prefix) {
				names = append(names, named.GetName())
			}
			return nil
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completionLimit bounds how many names are asked for.
const completionLimit = 500

// First completes the first argument alone.
func First(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(command, args, prefix)
	}
}
