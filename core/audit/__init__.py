"""The audit of a model: everything that is known of its backdoor, as numbers, sentences and one file to hand on.

:func:`audit` collects what is stored and measures what is not; :func:`core.audit.report.render` writes it as HTML.
"""

from core.audit.findings import COUNTS, Audit, AuditProgress, Saliency, audit

__all__ = ["COUNTS", "Audit", "AuditProgress", "Saliency", "audit"]
