// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package collector paces the garbage collector of a server by what it saves, and
// gives the memory of its start back.
//
// Go lets the heap grow by a share of what lives (GOGC). What a collection costs
// goes by what lives, too, so the share should be large where little lives and
// may be smaller where much does: the server of a few turns would collect all
// the time for the sake of megabytes, and that of a thousand streams would hold
// as much garbage as streams.
//
// Laws:
//   - The heap may grow by about Headroom between two collections, but never by
//     less than minPercent of what lives, which bounds the collector's share of
//     the processors, nor by more than maxPercent.
//   - What only the start needed goes back once it is over: its garbage, which is
//     more than what lives then, and the pages of the program that initialisation
//     has touched. Later, only the runtime gives memory back.
//   - Whoever sets GOGC or GOMEMLIMIT decides alone.
package collector
