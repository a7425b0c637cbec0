// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"

	"safebeam.dev/safebeam/pkg/apiserver/identity"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/model"
)

// StandaloneOptions say who may do what on a server that has no kube-apiserver
// to ask.
type StandaloneOptions struct {
	// AdminToken is the credential of the admin. It is no flag: arguments can
	// be read by other processes.
	AdminToken string
	// TokenFile has further tokens.
	TokenFile string
	// ClientCAFile signs client certificates.
	ClientCAFile string
}

func (o *StandaloneOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.TokenFile, "token-auth-file", o.TokenFile,
		`File with further identities, one a line: token,user,uid,"group1,group2". Groups that mean something: `+
			"system:masters, "+identity.GroupAdmin+", "+identity.GroupEdit+", "+identity.GroupView+". Read at start.")
	fs.StringVar(&o.ClientCAFile, "client-ca-file", o.ClientCAFile,
		"File with the authorities whose client certificates are accepted: the common name is the user, the organizations are its groups.")
}

func (o *StandaloneOptions) validate() []error {
	if o.AdminToken == "" && o.TokenFile == "" && o.ClientCAFile == "" {
		return []error{fmt.Errorf("nobody could use the server: give --token-auth-file or --client-ca-file")}
	}
	return nil
}

func (o *StandaloneOptions) applyTo(opened *Opened) error {
	opened.ExtraConfig.Launcher = model.LauncherLocal
	tokens, err := identity.Sources{AdminToken: o.AdminToken, TokenFile: o.TokenFile}.Tokens()
	if err != nil {
		return fmt.Errorf("--token-auth-file: %w", err)
	}
	opened.Tokens = tokens
	config := &opened.GenericConfig.Config
	var clientCA dynamiccertificates.CAContentProvider
	if o.ClientCAFile != "" {
		if clientCA, err = dynamiccertificates.NewDynamicCAContentFromFile("client-ca", o.ClientCAFile); err != nil {
			return fmt.Errorf("--client-ca-file: %w", err)
		}
		if err := config.Authentication.ApplyClientCert(clientCA, config.SecureServing); err != nil {
			return err
		}
	}
	config.Authentication.Authenticator = identity.NewAuthenticator(tokens, clientCA)
	config.Authorization.Authorizer, err = identity.NewAuthorizer()
	return err
}
