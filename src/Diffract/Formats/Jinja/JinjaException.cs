namespace Diffract.Formats.Jinja;

/// <summary>
/// What stopped a template. <see cref="Kind"/> is the name that jinja2 or Python gives the error (<c>TemplateError</c>, <c>UndefinedError</c>, <c>TypeError</c>, …); two kinds are our own: <c>LimitError</c>
/// (a limit of the sandbox) and <c>Unsupported</c> (a part of Jinja that chat templates have no use for).
/// </summary>
public sealed class JinjaException(string kind, string message) : Exception(message)
{
    public string Kind { get; } = kind;

    /// <summary>Kind and message as they are written to files.</summary>
    public string Text => $"{Kind}: {Message}";

    internal static JinjaException Type(string message) => new("TypeError", message);

    internal static JinjaException Value(string message) => new("ValueError", message);

    internal static JinjaException Syntax(string message) => new("TemplateSyntaxError", message);

    internal static JinjaException Limit(string message) => new("LimitError", message);

    internal static JinjaException Unsupported(string message) => new("Unsupported", message);
}
