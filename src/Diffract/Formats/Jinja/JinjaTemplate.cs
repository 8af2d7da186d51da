using System.Text;

namespace Diffract.Formats.Jinja;

/// <summary>
/// A Jinja template as jinja2 3.1 renders it with the settings of transformers: <c>trim_blocks</c>, <c>lstrip_blocks</c>, loop controls, <c>{% generation %}</c>, an immutable sandbox, and <c>tojson</c>,
/// <c>raise_exception</c> and <c>strftime_now</c>. Values, printing, scoping and error texts are Python's. A template reaches its variables and nothing else, within <see cref="JinjaLimits"/>.
/// </summary>
public sealed class JinjaTemplate
{
    readonly List<Statement> _body;
    readonly JinjaLimits _limits;

    JinjaTemplate(List<Statement> body, JinjaLimits limits) => (_body, _limits) = (body, limits);

    /// <summary>Reads a template.</summary>
    /// <exception cref="JinjaException">It is not one, or is longer or deeper than <paramref name="limits"/> allow.</exception>
    public static JinjaTemplate Parse(string source, JinjaLimits? limits = null)
    {
        limits ??= new JinjaLimits();
        if (source.Length > limits.TemplateLength)
        {
            throw JinjaException.Limit($"the template has {source.Length} characters, at most {limits.TemplateLength} are read");
        }

        return new JinjaTemplate(new Parser(Lexer.Read(source), limits.Depth).Template(), limits);
    }

    /// <summary>Renders the template.</summary>
    /// <param name="variables">What it may see; <see cref="JinjaValues.FromJson"/> makes values.</param>
    /// <param name="now">What <c>strftime_now</c> prints.</param>
    /// <exception cref="JinjaException">The template or the sandbox refused.</exception>
    public JinjaOutput Render(IReadOnlyDictionary<string, object?> variables, DateTime now)
    {
        Renderer r = new(_limits, now);
        Scope globals = new(null);
        Globals.AddTo(globals);
        foreach ((string name, object? value) in variables)
        {
            globals.Set(name, value);
        }

        Statement.Run(_body, r, new Scope(globals));
        return new JinjaOutput(r.Out.ToString(), r.Generation);
    }
}

/// <summary>The state of one rendering: output, and what has been used of the limits.</summary>
sealed class Renderer(JinjaLimits limits, DateTime now)
{
    long _steps;
    long _memory;
    int _depth;
    int _rootLength;
    StringBuilder? _root;

    public DateTime Now => now;

    public StringBuilder Out { get; private set; } = new();

    public List<(int Start, int End)> Generation { get; } = [];

    public void Enter()
    {
        Step();
        if (++_depth > limits.Depth || !System.Runtime.CompilerServices.RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            throw JinjaException.Limit($"the template nests deeper than {limits.Depth}");
        }
    }

    public void Leave() => _depth--;

    public void Step(long count = 1)
    {
        if ((_steps += count) > limits.Steps)
        {
            throw JinjaException.Limit($"the template takes more than {limits.Steps} steps");
        }
    }

    /// <summary>Asks for room before it is taken.</summary>
    public void Charge(double units)
    {
        if (units > limits.Memory || (_memory += (long)units) > limits.Memory)
        {
            throw JinjaException.Limit($"the template makes more than {limits.Memory} characters and items");
        }
    }

    public string Made(string text)
    {
        Charge(text.Length);
        return text;
    }

    public void Write(string text)
    {
        Charge(text.Length);
        Out.Append(text);
        if (_root is null)
        {
            _rootLength += CodePoints.Count(text);
        }
    }

    /// <summary>Runs a body into a text of its own. Null when a loop control left it.</summary>
    public string? Capture(List<Statement> body, Scope scope, out Flow flow)
    {
        StringBuilder before = Out;
        bool outermost = _root is null;
        _root ??= before;
        Out = new StringBuilder();
        flow = Statement.Run(body, this, scope);
        string text = Out.ToString();
        Out = before;
        if (outermost)
        {
            _root = null;
        }

        return flow == Flow.Next ? text : null;
    }

    /// <summary>Notes a generation block that has just been rendered to <paramref name="text"/>.</summary>
    public void Generated(string text) => Generation.Add((_rootLength, _rootLength + CodePoints.Count(text)));
}
