// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package files moves files in and out of a sandbox, beneath its writable paths
// and nowhere else.
//
// Laws:
//   - Every path is resolved by openat2 from the descriptor of a root, with
//     RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS: no link in a path is followed, be it
//     put there between two calls or in the middle of one. A kernel without openat2
//     is refused; there is no second way that would have to be as good.
//   - What has no path of several components (delete, rename, make) works on the
//     descriptor of the parent and one name.
//   - ".." is refused, not cleaned away. Only regular files are read.
//   - An upload is invisible until it is whole, and then appears by one rename. Its
//     parts are at most 16 MiB; a part that is sent again does no harm.
//   - An archive that names anything outside the directory it is unpacked into is
//     refused at that entry. Devices, pipes and set-id bits never come out of one.
//   - Memory is bounded whatever lies on the disk: directories of any size are
//     listed through a heap of one page.
package files
