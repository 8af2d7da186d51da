using System.Text;
using Diffract.Formats.Jinja;

namespace Diffract.Text;

/// <summary>Turns as the values that a template sees, with their own texts or with marks in place of them.</summary>
static class ChatMessages
{
    // Marks are of the private use area, which no template writes or looks for: open, turn in two digits, part, close.
    const char Open = '\uE0F0';
    const char Close = '\uE0F1';
    const char HighDigit = '\uE200';
    const char LowDigit = '\uE600';
    const char FirstPart = '\uEA00';
    const int Base = 1024;
    const int MarkLength = 5;

    /// <summary>Most turns that can be told apart.</summary>
    public const int MostTurns = Base * Base;

    public static PyList Of(IReadOnlyList<Turn> turns) => new([.. turns.Select(t => Message(t.Role, t.Content, t.Reasoning))]);

    /// <summary>Messages whose texts are marks. A shape has a letter a turn: u user, a assistant, s system, f assistant with its reasoning apart, r assistant with its reasoning inside its content.</summary>
    public static PyList OfShape(string shape) => new([.. shape.Select((s, i) => s switch
    {
        'u' => Message("user", Mark(i, SlotPart.Content), null),
        's' => Message("system", Mark(i, SlotPart.Content), null),
        'f' => Message("assistant", Mark(i, SlotPart.Content), Mark(i, SlotPart.Reasoning)),
        'r' => Message("assistant", $"<think>\n{Mark(i, SlotPart.Reasoning)}\n</think>\n\n{Mark(i, SlotPart.Content)}", null),
        _ => (object?)Message("assistant", Mark(i, SlotPart.Content), null),
    })]);

    /// <summary>Cuts a rendering of <see cref="OfShape"/> at its marks.</summary>
    public static (List<string> Pieces, List<Slot> Slots) Cut(string text)
    {
        List<string> pieces = [];
        List<Slot> slots = [];
        StringBuilder piece = new();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == Open && i + MarkLength <= text.Length && text[i + MarkLength - 1] == Close)
            {
                slots.Add(new Slot((text[i + 1] - HighDigit) * Base + text[i + 2] - LowDigit, (SlotPart)(text[i + 3] - FirstPart)));
                pieces.Add(piece.ToString());
                piece.Clear();
                i += MarkLength - 1;
                continue;
            }

            piece.Append(text[i]);
        }

        pieces.Add(piece.ToString());
        return (pieces, slots);
    }

    static string Mark(int turn, SlotPart part) => new([Open, (char)(HighDigit + turn / Base), (char)(LowDigit + turn % Base), (char)(FirstPart + (int)part), Close]);

    static PyDict Message(string role, string content, string? reasoning)
    {
        PyDict message = new();
        message.Set("role", role);
        message.Set("content", content);
        if (reasoning is not null)
        {
            // Templates ask for it by three names; transformers sets them all.
            message.Set("reasoning_content", reasoning);
            message.Set("thinking", reasoning);
            message.Set("reasoning", reasoning);
        }

        return message;
    }
}

/// <summary>What of a turn stands at a place.</summary>
enum SlotPart : byte
{
    Content,
    Reasoning,
}

/// <summary>A place in a rendering where a turn's text stands.</summary>
readonly record struct Slot(int Turn, SlotPart Part);
