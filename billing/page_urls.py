from django.urls import path

from billing import views

urlpatterns = [
    path("return/<uuid:operation_id>", views.come_back, name="billing_return"),
]
