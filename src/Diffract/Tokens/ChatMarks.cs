using System.Text;
using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>
/// Roles and turns of a chat's tokens. A span covers the tokens from the one that holds its first character to the one that holds its last (spec 10.4); a token of which a template's span has white space
/// alone, while the rest is what somebody said (" Hello" after "User:"), is that text's and not the template's.
/// </summary>
sealed class ChatMarks
{
    readonly RenderedChat _chat;
    readonly (int Start, int End)[] _offsets;
    int[]? _points;

    public ChatMarks(RenderedChat chat, (int Start, int End)[] offsets)
    {
        (_chat, _offsets) = (chat, offsets);
        Roles = new byte[offsets.Length];
        Turns = new byte[offsets.Length];
        Array.Fill(Turns, TextEncoder.NoTurn);
        Mark(template: false);
        Mark(template: true);
    }

    public byte[] Roles { get; }

    public byte[] Turns { get; }

    /// <summary>Spans come in the order of their starts, so each looks on from where the last began.</summary>
    void Mark(bool template)
    {
        int first = 0;
        foreach (TextSpan span in _chat.Spans.Where(s => s.Part == SpanPart.Template == template && s.End > s.Start))
        {
            while (first < _offsets.Length && _offsets[first].End <= span.Start)
            {
                first++;
            }

            for (int i = first; i < _offsets.Length && _offsets[i].Start < span.End && _offsets[i].End > span.Start; i++)
            {
                if (template && Roles[i] != 0 && IsBorrowed(span, _offsets[i]))
                {
                    continue;
                }

                Roles[i] |= (byte)RoleOf(span, _offsets[i]);
                Turns[i] = Turns[i] == TextEncoder.NoTurn && span.Turn >= 0 ? (byte)Math.Min(span.Turn, TextEncoder.NoTurn - 1) : Turns[i];
            }
        }
    }

    /// <summary>Whether the token reaches out of the span and has only white space of it.</summary>
    bool IsBorrowed(TextSpan span, (int Start, int End) token)
    {
        if (token.Start >= span.Start && token.End <= span.End)
        {
            return false;
        }

        _points ??= [.. _chat.Text.EnumerateRunes().Select(r => r.Value)];
        for (int i = Math.Max(token.Start, span.Start); i < Math.Min(token.End, span.End); i++)
        {
            if (!Rune.IsValid(_points[i]) || !Rune.IsWhiteSpace(new Rune(_points[i])))
            {
                return false;
            }
        }

        return true;
    }

    // A BOS whose text is no token of the tokenizer is nothing but what the template wrote.
    static TokenRole RoleOf(TextSpan span, (int Start, int End) token) => span.Part switch
    {
        SpanPart.User => TokenRole.User,
        SpanPart.Assistant => TokenRole.Assistant,
        SpanPart.System => TokenRole.System,
        SpanPart.Bos when token == (span.Start, span.End) => TokenRole.Bos,
        _ => TokenRole.Template,
    };
}
