"""What a person sees and changes of their own account."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.access import Access
from accounts.pages import page


@page()
def account(request: HttpRequest, held: Access) -> HttpResponse:
    return render(request, "accounts/account.html")
