"""What an organization asks for beyond the ordinary, and how operators get past its guard: openly, and for a while."""
