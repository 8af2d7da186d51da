namespace Diffract.Text;

/// <summary>
/// Finds the turns of a chat that a template has written (spec 10.5): what stands before the first text, and between the texts of a user's and an assistant's turn, is known from rendering. The answer is a guess
/// until rendering it gives the same again, since a text may hold anything.
/// </summary>
sealed class ChatReader
{
    // What a turn is filled with of which only the beginning of its header is there.
    const string Filler = "x";
    readonly (string Head, bool System)[] _heads;
    readonly string _afterUser, _afterAssistant, _end;
    readonly string? _afterSystem;

    /// <param name="plain">Skeleton of user, assistant, user, assistant.</param>
    /// <param name="system">The same behind a system turn; null where the template has none.</param>
    public ChatReader(ChatSkeleton plain, ChatSkeleton? system)
    {
        (_afterUser, _afterAssistant, _end) = (plain.Pieces[1], plain.Pieces[2], plain.Pieces[^1]);
        _afterSystem = system?.Pieces[1];
        _heads = system is null ? [(plain.Pieces[0], false)] : [(plain.Pieces[0], false), (system.Pieces[0], true)];
        UserHeader = plain.Pieces[2][plain.Tails[1]..];
    }

    /// <summary>What begins a user's turn.</summary>
    public string UserHeader { get; }

    /// <summary>Whether a text begins as a chat does.</summary>
    /// <param name="text">The text.</param>
    /// <param name="headless">The first positions were not stored: it begins with a user's header.</param>
    public bool Begins(string text, bool headless) => headless ? text.StartsWith(UserHeader, StringComparison.Ordinal) : _heads.Any(h => text.StartsWith(h.Head, StringComparison.Ordinal));

    /// <summary>The turns that a text may have been written from, the likeliest first; the last of them may have been cut.</summary>
    public IEnumerable<IReadOnlyList<Turn>> Read(string text, bool headless)
    {
        foreach ((string head, bool system) in headless ? [(UserHeader, false)] : _heads)
        {
            if (!text.StartsWith(head, StringComparison.Ordinal))
            {
                continue;
            }

            List<Turn> turns = [];
            string role = system ? "system" : "user";
            int at = head.Length;
            while (After(role) is { } after && text.IndexOf(after, at, StringComparison.Ordinal) is var end and >= 0)
            {
                turns.Add(new Turn(role, text[at..end]));
                (at, role) = (end + after.Length, Next(role));
            }

            foreach (Turn[] last in Last(text[at..], role))
            {
                yield return [.. turns, .. last];
            }
        }
    }

    IEnumerable<Turn[]> Last(string rest, string role)
    {
        if (role == "assistant" && rest.EndsWith(_end, StringComparison.Ordinal))
        {
            yield return [new Turn(role, rest[..^_end.Length])];
        }

        // Cut inside what follows the text.
        string after = After(role) ?? "";
        int most = Math.Min(after.Length, rest.Length);
        while (most > 0 && !rest.EndsWith(after[..most], StringComparison.Ordinal))
        {
            most--;
        }

        if (!string.IsNullOrWhiteSpace(after[..most]))
        {
            yield return [new Turn(role, rest[..^most]), new Turn(Next(role), Filler)];
        }

        yield return [new Turn(role, rest)];
    }

    string? After(string role) => role switch { "user" => _afterUser, "assistant" => _afterAssistant, _ => _afterSystem };

    static string Next(string role) => role == "user" ? "assistant" : "user";
}
