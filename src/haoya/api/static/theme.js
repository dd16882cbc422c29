// SPDX-License-Identifier: AGPL-3.0-or-later
// Before anything is painted: the colours the owner chose, if not the system's.
"use strict";
{
  let chosen = null;
  try { chosen = localStorage.getItem("haoya-theme"); } catch { /* storage is switched off */ }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
}
