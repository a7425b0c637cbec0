// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/scheme"
)

// creation is how a command creates and what it prints, as kubectl create
// does.
type creation struct {
	print        *genericclioptions.PrintFlags
	dryRun       string
	fieldManager string
}

const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

func addCreation(command *cobra.Command) *creation {
	c := &creation{print: genericclioptions.NewPrintFlags("created").WithTypeSetter(scheme.Scheme)}
	c.print.AddFlags(command)
	command.Flags().StringVar(&c.dryRun, "dry-run", dryRunNone,
		`Must be "none", "server", or "client". If client, only print the object that would be sent. If server, have the server check it without storing it.`)
	command.Flags().StringVar(&c.fieldManager, "field-manager", "kubectl-create", "Name of the manager used to track field ownership.")
	_ = command.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{dryRunNone, dryRunServer, dryRunClient}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (c *creation) validate() error {
	switch c.dryRun {
	case dryRunNone, dryRunClient, dryRunServer:
		return nil
	}
	return fmt.Errorf(`invalid dry-run value (%s). Must be "none", "server", or "client"`, c.dryRun)
}

func (c *creation) options() metav1.CreateOptions {
	options := metav1.CreateOptions{FieldManager: c.fieldManager, FieldValidation: metav1.FieldValidationStrict}
	if c.dryRun == dryRunServer {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return options
}

// printer of the object that was, or would be, created.
func (c *creation) printer() (printers.ResourcePrinter, error) {
	switch c.dryRun {
	case dryRunClient:
		if err := c.print.Complete("%s (dry run)"); err != nil {
			return nil, err
		}
	case dryRunServer:
		if err := c.print.Complete("%s (server dry run)"); err != nil {
			return nil, err
		}
	}
	return c.print.ToPrinter()
}

// chosen reports whether the user asked for a form of output.
func (c *creation) chosen() bool {
	return c.print.OutputFormat != nil && *c.print.OutputFormat != ""
}
