from django.urls import path

from billing import pages, views

app_name = "billing"

urlpatterns = [
    path("", pages.subscription, name="subscription"),
    path("return/<uuid:operation_id>", views.come_back, name="return"),
]
