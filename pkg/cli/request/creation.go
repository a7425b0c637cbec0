// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package request

import (
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/scheme"
)

// Creation is how a command creates and what it prints, as kubectl create
// does.
type Creation struct {
	print        *genericclioptions.PrintFlags
	dryRun       string
	fieldManager string
}

const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

// AddCreation adds the flags of kubectl create to a command.
func AddCreation(command *cobra.Command) *Creation {
	c := &Creation{print: genericclioptions.NewPrintFlags("created").WithTypeSetter(scheme.Scheme)}
	c.print.AddFlags(command)
	command.Flags().StringVar(&c.dryRun, "dry-run", dryRunNone,
		`Must be "none", "server", or "client". If client, only print the object that would be sent. If server, have the server check it without storing it.`)
	command.Flags().StringVar(&c.fieldManager, "field-manager", "kubectl-create", "Name of the manager used to track field ownership.")
	_ = command.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{dryRunNone, dryRunServer, dryRunClient}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// Validate refuses what could not be printed before anything is created.
func (c *Creation) Validate() error {
	template := "%s"
	switch c.dryRun {
	case dryRunNone:
	case dryRunClient:
		template = "%s (dry run)"
	case dryRunServer:
		template = "%s (server dry run)"
	default:
		return fmt.Errorf(`invalid dry-run value (%s). Must be "none", "server", or "client"`, c.dryRun)
	}
	if err := c.print.Complete(template); err != nil {
		return err
	}
	_, err := c.print.ToPrinter()
	return err
}

// Options of the request that creates.
func (c *Creation) Options() metav1.CreateOptions {
	options := metav1.CreateOptions{FieldManager: c.fieldManager, FieldValidation: metav1.FieldValidationStrict}
	if c.dryRun == dryRunServer {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return options
}

// Show prints the object that was, or would be, created.
func (c *Creation) Show(obj runtime.Object, streams genericiooptions.IOStreams) error {
	printer, err := c.print.ToPrinter()
	if err != nil {
		return err
	}
	return printer.PrintObj(obj, streams.Out)
}

// Chosen reports whether the user asked for a form of output.
func (c *Creation) Chosen() bool {
	return c.print.OutputFormat != nil && *c.print.OutputFormat != ""
}

// ClientOnly: nothing is sent.
func (c *Creation) ClientOnly() bool { return c.dryRun == dryRunClient }

// Dry: nothing is stored.
func (c *Creation) Dry() bool { return c.dryRun != dryRunNone }

// Done sets the word that is printed behind the name, "created" at first.
func (c *Creation) Done(word string) { c.print.NamePrintFlags.Operation = word }

// Word is what is printed behind the name.
func (c *Creation) Word() string { return c.print.NamePrintFlags.Operation }
