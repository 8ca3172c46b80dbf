from django.urls import path

from accounts import account_pages, workspace_pages

app_name = "accounts"

urlpatterns = [
    path("account/", account_pages.account, name="account"),
    path("workspace/", workspace_pages.workspace, name="workspace"),
    path("workspace/switch", workspace_pages.switch, name="switch"),
]
