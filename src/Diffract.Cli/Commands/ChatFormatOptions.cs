using System.CommandLine;
using System.Globalization;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Cli.Commands;

/// <summary>The options of every verb that reads chats.</summary>
sealed class ChatFormatOptions
{
    readonly Option<string> _format = new("--chat-format")
    {
        Description = "How chats are written: template (the chat model's own), plain (User: … and Assistant: …, a line each; for models without a template), or custom (Gemma's turns with the four words below).",
        DefaultValueFactory = _ => ChatFormat.Own.Name,
    };

    readonly Option<string?> _date = new("--chat-date") { Description = "Day that a template may print, YYYY-MM-DD. Default: 2024-07-26, as the templates of Llama 3 have it, so that tokens do not depend on the day of the run." };
    readonly Option<string?> _start = new("--start-token") { Description = "Custom format: begins a turn; one token. Default: <start_of_turn>." };
    readonly Option<string?> _end = new("--end-token") { Description = "Custom format: ends a turn; one token. Default: <end_of_turn>." };
    readonly Option<string?> _user = new("--user-word") { Description = "Custom format: names the user; one token. Default: user." };
    readonly Option<string?> _assistant = new("--assistant-word") { Description = "Custom format: names the assistant; one token. Default: model." };

    /// <summary>Adds the options to <paramref name="command"/>.</summary>
    public ChatFormatOptions(Command command)
    {
        _format.AcceptOnlyFromAmong("template", "plain", "custom");
        foreach (Option option in (Option[])[_format, _date, _start, _end, _user, _assistant])
        {
            command.Options.Add(option);
        }
    }

    public ChatFormat Of(ParseResult parse)
    {
        DateOnly? date = parse.GetValue(_date) is not { } given ? null
            : DateOnly.TryParseExact(given, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out DateOnly day) ? day
            : throw DiffractException.Argument($"--chat-date {given} is not a day; wanted YYYY-MM-DD, for instance 2024-07-26");
        return ChatFormat.Of(parse.GetValue(_format)!, date, parse.GetValue(_start), parse.GetValue(_end), parse.GetValue(_user), parse.GetValue(_assistant));
    }
}
