// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// AdminName is the user that the admin token stands for.
const AdminName = "safebeam-admin"

// Sources are where tokens come from. Each may be missing.
type Sources struct {
	// AdminToken is the token of the admin.
	AdminToken string
	// TokenFile has lines of token,user,uid,"group1,group2".
	TokenFile string
}

// Tokens tells who the bearer of a token is.
func (s Sources) Tokens() (authenticator.Token, error) {
	var tokens []authenticator.Token
	if s.AdminToken != "" {
		tokens = append(tokens, newAdminToken(s.AdminToken))
	}
	if s.TokenFile != "" {
		file, err := tokenfile.NewCSV(s.TokenFile)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, file)
	}
	return group.NewTokenGroupAdder(tokenunion.New(tokens...), []string{user.AllAuthenticated}), nil
}

// NewAuthenticator returns the authenticator of a server that stands alone.
// clientCA may be nil.
func NewAuthenticator(tokens authenticator.Token, clientCA dynamiccertificates.CAContentProvider) authenticator.Request {
	authenticators := []authenticator.Request{bearertoken.New(tokens)}
	if clientCA != nil {
		authenticators = append(authenticators, x509.NewDynamic(clientCA.VerifyOptions, x509.CommonNameUserConversion))
	}
	return group.NewAuthenticatedGroupAdder(union.New(authenticators...))
}

type adminToken [sha256.Size]byte

func newAdminToken(token string) adminToken { return sha256.Sum256([]byte(token)) }

// AuthenticateToken implements authenticator.Token. It compares hashes, so
// that the time it takes tells nothing.
func (t adminToken) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], t[:]) != 1 {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: AdminName, Groups: []string{user.SystemPrivilegedGroup}}}, true, nil
}
