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
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// AdminName is the user that the admin token stands for.
const AdminName = "safebeam-admin"

// Sources are where identities come from. Each may be missing.
type Sources struct {
	// AdminToken is the token of the admin.
	AdminToken string
	// TokenFile has lines of token,user,uid,"group1,group2".
	TokenFile string
	// ClientCA signs client certificates: the common name is the user, the
	// organizations are groups.
	ClientCA dynamiccertificates.CAContentProvider
}

// NewAuthenticator returns the authenticator of a server that stands alone.
func NewAuthenticator(sources Sources) (authenticator.Request, error) {
	var authenticators []authenticator.Request
	if sources.AdminToken != "" {
		authenticators = append(authenticators, bearertoken.New(newAdminToken(sources.AdminToken)))
	}
	if sources.TokenFile != "" {
		tokens, err := tokenfile.NewCSV(sources.TokenFile)
		if err != nil {
			return nil, err
		}
		authenticators = append(authenticators, bearertoken.New(tokens))
	}
	if sources.ClientCA != nil {
		authenticators = append(authenticators, x509.NewDynamic(sources.ClientCA.VerifyOptions, x509.CommonNameUserConversion))
	}
	return group.NewAuthenticatedGroupAdder(union.New(authenticators...)), nil
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
