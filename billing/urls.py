from django.urls import path

from billing import api

urlpatterns = [
    path("plans", api.Plans.as_view()),
    path("subscription", api.SubscriptionView.as_view()),
    path("activate-trial", api.ActivateTrial.as_view()),
    path("usage", api.Usage.as_view()),
    path("ledger", api.Ledger.as_view()),
]
