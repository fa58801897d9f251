//! What an operator's shell has that is no part of a home.

/// Flux's own program, as far as doctor's cures use it: it does what that does, and waits as it does.
pub(crate) const FLUX: &str = r#"
flux() {
  local at kind system=(kubectl -n flux-system)
  case "$*" in
    'reconcile kustomization home' | 'resume kustomization home') kind=kustomization/home ;;
    'reconcile source git home' | 'resume source git home') kind=gitrepository/home ;;
    *) echo "flux $*: not here" >&2; return 1 ;;
  esac
  [[ $1 != resume ]] || "${system[@]}" patch "$kind" --type=merge -p '{"spec":{"suspend":false}}'
  at=$(date +%s%N)
  "${system[@]}" annotate --overwrite "$kind" "reconcile.fluxcd.io/requestedAt=$at"
  "${system[@]}" wait "$kind" --timeout=120s "--for=jsonpath={.status.lastHandledReconcileAt}=$at"
  "${system[@]}" wait "$kind" --timeout=120s --for=condition=Ready
}
"#;
